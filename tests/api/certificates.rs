//! Encrypted connections: which certificates are accepted, and what is said about one that is not.

use std::process::Stdio;

use concurrency_lab::config::Limits;
use concurrency_lab::database::seed::Seed;
use concurrency_lab::database::{Database, connect};
use concurrency_lab::strategy::Approach;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::task::JoinSet;

use crate::common::tls_postgres::{TlsPostgres, certificate_file};
use crate::common::{Lab, Setup, cluster, program};

const WITHDRAW: &str = r#"{"userId":1,"amount":-2}"#;

async fn is_encrypted(options: &PgConnectOptions) -> bool {
    let mut connection = connect(options).await.expect("a connection");
    let query = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    sqlx::query_scalar(query).fetch_one(&mut connection).await.expect("an answer")
}

async fn refusal(options: PgConnectOptions) -> String {
    let prepared = Database::prepare(options, &Limits::default(), Seed::Withdrawal, false).await;
    prepared.map(|_| ()).expect_err("refused").to_string()
}

/// psql connects under prefer and require too: nothing is verified there.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_version_1_is_accepted_where_none_is_verified() {
    let postgres = TlsPostgres::start("version1").await;
    for mode in [PgSslMode::Prefer, PgSslMode::Require] {
        assert!(is_encrypted(&postgres.options().ssl_mode(mode)).await, "{mode:?}");
        assert!(is_encrypted(&postgres.options().host("127.0.0.1").ssl_mode(mode)).await, "{mode:?}, by address");
    }
    let lab = Lab::on(cluster().await, postgres.options().ssl_mode(PgSslMode::Require), Setup::default()).await;
    let mut requests = JoinSet::new();
    for number in 0..200 {
        let approach = [Approach::Pessimistic, Approach::AtomicReturning, Approach::GroupCommit][number % 3];
        let request = lab.change(approach, WITHDRAW);
        requests.spawn(async move { request.send().await.expect("an answer").status().as_u16() });
    }
    assert_eq!(requests.join_all().await, [200; 200]);
    lab.get("/balance/1").await.expect(200, r#"{"userId":1,"balance":9600}"#);
    assert_eq!(lab.post("/reset", "").await.status, 200);
    assert_eq!(lab.get("/readyz").await.status, 200);
    lab.get("/balance/1").await.expect(200, r#"{"userId":1,"balance":10000}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_certificates_are_verified_the_message_names_the_fault_and_the_mode() {
    let postgres = TlsPostgres::start("version1").await;
    let root = certificate_file("version1", "crt");
    for (mode, name) in [(PgSslMode::VerifyCa, "verify-ca"), (PgSslMode::VerifyFull, "verify-full")] {
        let refused = refusal(postgres.options().ssl_mode(mode).ssl_root_cert(&root)).await;
        assert!(refused.contains(&format!("sslmode={name} refuses the server's certificate")), "{refused}");
        assert!(refused.contains("X.509 certificate of version 1"), "{refused}");
    }
    let postgres = TlsPostgres::start("version3").await;
    let refused = refusal(postgres.options().ssl_mode(PgSslMode::VerifyFull)).await;
    assert!(refused.contains("sslmode=verify-full") && refused.contains("trusts has signed it"), "{refused}");
    let root = certificate_file("version3", "crt");
    let trusting = postgres.options().ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(&root);
    assert!(is_encrypted(&trusting).await);
}

/// The connections of `explore` are opened in other places.
#[test]
fn explore_reaches_a_database_with_a_certificate_of_version_1() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let postgres = runtime.block_on(TlsPostgres::start("version1"));
    let mut command = program();
    command.args(["explore", "last-money", "--approach=pessimistic"]).env("DATABASE_URL", postgres.url("require"));
    let output = command.stdin(Stdio::null()).output().expect("a command");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{text}{errors}");
    assert!(text.contains("proved"), "{text}");
    assert_eq!(errors.matches("the server's certificate cannot be read").count(), 1, "{errors}");
}
