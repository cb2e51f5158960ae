//! Starts a temporary PostgreSQL, asks it a question, and stops it: `cargo run -p private-postgres --example temporary`.

use private_postgres::Cluster;
use sqlx::{ConnectOptions, Connection};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The directory of a temporary cluster is removed at the end.
    let cluster = Cluster::start_temporary(None, 20).await?;
    let mut connection = cluster.connect_options().connect().await?;
    let answer: i32 = sqlx::query_scalar("select 6 * 7").fetch_one(&mut connection).await?;
    println!("{answer}");
    connection.close().await?;
    cluster.stop().await?;
    Ok(())
}
