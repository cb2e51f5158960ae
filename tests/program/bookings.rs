//! Ten thousand concurrent bookings for a hundred seats, on a server in a process of its own.

use std::collections::HashSet;
use std::path::Path;

use concurrency_lab::strategy::Claim;
use domain::Workload;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::common::{claiming, directory, program};
use crate::served::{Served, run_to_end};

/// Requests of each user, in flight at the same time as those of all other users.
const REQUESTS_BY_USER: i64 = 10;

const USERS: i64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_concurrent_bookings_sell_a_hundred_seats_to_a_hundred_users() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit of open files");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("as many open files as allowed");
    let directory = directory();
    let server = Served::start(directory.path(), &["--seed=booking"]);
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
                  where application_name = 'concurrency-lab' and pid <> pg_backend_pid()";
    assert_eq!(psql(directory.path(), others), "t");
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(psql(directory.path(), deadlocks), "0");
}

fn psql(data_dir: &Path, sql: &str) -> String {
    let mut psql = program();
    psql.args(["psql", "--data-dir"]).arg(data_dir).args(["-Atc", sql]);
    let (code, output, errors) = run_to_end(psql);
    assert_eq!(code, Some(0), "{errors}");
    output.trim().to_owned()
}
