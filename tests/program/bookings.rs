//! Two thousand concurrent bookings for a hundred seats, on a server in a process of its own.

use std::collections::HashSet;

use concurrency_lab::strategy::Claim;
use domain::Workload;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::served::{Served, run_to_end};
use crate::common::{claiming, program};

/// Requests of each user, in flight at the same time as those of all other users.
const REQUESTS_BY_USER: i64 = 10;

const USERS: i64 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_concurrent_bookings_sell_a_hundred_seats_to_a_hundred_users() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit of open files");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("as many open files as allowed");
    let server = Served::on_shared(&["--seed=booking"]);
    let safe = claiming(Workload::Booking, Claim::Safe).chain(claiming(Workload::Booking, Claim::SafeOnOneServer));
    for approach in safe {
        let reset = server.client.post(format!("{}/reset", server.url)).send().await.expect("a reset");
        assert!(reset.status().is_success());
        let url = format!("{}/approach/{approach}/bookings", server.url);
        let mut bookings = JoinSet::new();
        for number in 0..REQUESTS_BY_USER * USERS {
            let user = number % USERS + 1;
            let request = server.client.post(&url).json(&json!({"eventId": 2, "userId": user}));
            bookings.spawn(async move {
                let answer = request.send().await.expect("an answer");
                let status = answer.status().as_u16();
                let body: Value = answer.json().await.expect("JSON");
                (user, status, body)
            });
        }
        let (mut buyers, mut sold) = (HashSet::new(), 0);
        while let Some(answer) = bookings.join_next().await {
            match answer.expect("no panic") {
                (user, 201, _) => {
                    sold += 1;
                    buyers.insert(user);
                }
                (_, 409, body) => {
                    let error = body["error"].as_str();
                    assert!(matches!(error, Some("Sold out" | "Already booked")), "{approach}: {body}");
                }
                other => panic!("{approach}: {other:?}"),
            }
        }
        assert_eq!((sold, buyers.len()), (100, 100), "{approach}: seats sold, and users with a seat");
        let event = server.get("/events/2").await.expect("the event");
        assert_eq!(
            (&event["booked"], event["bookings"].as_array().map(Vec::len)),
            (&json!(100), Some(100)),
            "{approach}"
        );
    }
    // A backend reports its counts at its end.
    let others = "select count(pg_terminate_backend(pid, 10000)) > 0 from pg_stat_activity \
                  where datname = current_database() and application_name = 'concurrency-lab' and pid <> pg_backend_pid()";
    assert_eq!(psql(&server, others), "t");
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(psql(&server, deadlocks), "0");
}

fn psql(server: &Served, sql: &str) -> String {
    let mut psql = program();
    psql.env("DATABASE_URL", server.database_url()).args(["psql", "--", "-Atc", sql]);
    let (code, output, errors) = run_to_end(psql);
    assert_eq!(code, Some(0), "{errors}");
    output.trim().to_owned()
}
