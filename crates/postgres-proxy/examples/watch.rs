//! Prints what an application does: `cargo run -p postgres-proxy --example watch -- /run/postgresql 5432`, or with a host in
//! place of the socket directory. The application connects to the address that is printed first.

use std::error::Error;

use postgres_proxy::{HeldUnits, Owner, Proxy, ProxyEventKind, ProxyOptions, ServerAddress};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(host), Some(port)) = (arguments.next(), arguments.next()) else {
        return Err("name the host or the socket directory of PostgreSQL, and its port".into());
    };
    let port = port.parse()?;
    let server =
        if host.starts_with('/') { ServerAddress::socket_dir(host, port) } else { ServerAddress::tcp(&host, port) };
    let (mut owner, events) = Owner::channel();
    let options = ProxyOptions { held_units: HeldUnits::Executing, events: Some(events), ..ProxyOptions::new(server) };
    let proxy = Proxy::start(options).await?;
    println!("{}", proxy.address());
    while let Some(event) = owner.next().await {
        let (number, connection) = (event.number, event.connection);
        match event.kind {
            ProxyEventKind::UnitArrived { unit, permit } => {
                let values: Vec<_> = unit.executions.iter().flat_map(|execution| &execution.values).collect();
                let values: Vec<_> = values.iter().map(|value| value.text.as_deref().unwrap_or("NULL")).collect();
                let held = if permit.is_some() { "held" } else { "not held" };
                println!(
                    "{number} {connection} unit {} ({:?}, {held}): {} {values:?}",
                    unit.number,
                    unit.kind,
                    unit.sql()
                );
            }
            ProxyEventKind::UnitAnswered { answer, .. } => {
                let tags: Vec<_> = answer.results.iter().map(|result| result.tag.as_deref()).collect();
                let error = answer.error.as_ref().map(ToString::to_string);
                println!(
                    "{number} {connection} answer {}: {tags:?} {:?} {:?} {error:?}",
                    answer.unit, answer.status, answer.end
                );
            }
            other => println!("{number} {connection} {other:?}"),
        }
    }
    Ok(())
}
