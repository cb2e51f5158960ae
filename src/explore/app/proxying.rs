//! Proxies in front of the explorer's PostgreSQL.

use postgres_proxy::{EventSender, HeldUnits, Proxy, ProxyOptions, ServerAddress};
use sqlx::postgres::PgConnectOptions;

use crate::explore::error::ExploreError;

/// Starts a proxy to the server of these options. Without `events` it only forwards; so a program of any kind finds PostgreSQL at an address.
///
/// # Errors
/// [`ExploreError::Script`].
pub async fn start_proxy(server: &PgConnectOptions, events: Option<EventSender>) -> Result<Proxy, ExploreError> {
    let address = match server.get_socket() {
        Some(folder) => ServerAddress::socket_dir(folder.clone(), server.get_port()),
        None if server.get_host().starts_with('/') => ServerAddress::socket_dir(server.get_host(), server.get_port()),
        None => ServerAddress::tcp(server.get_host(), server.get_port()),
    };
    let held_units = if events.is_some() { HeldUnits::All } else { HeldUnits::None };
    let options = ProxyOptions { held_units, events, ..ProxyOptions::new(address) };
    let started = Proxy::start(options).await;
    started.map_err(|error| ExploreError::Script(format!("a proxy for a program cannot be started: {error}")))
}
