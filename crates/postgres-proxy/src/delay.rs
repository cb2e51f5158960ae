//! An owner that lets every unit go after a fixed time, as a slow database would.

use std::time::Duration;

use tokio::time::sleep;

use crate::event::ProxyEventKind;
use crate::owner::Owner;

/// Delays each held unit by a fixed time, until all proxies of the owner have stopped. Units on different connections wait
/// beside each other. The timer has a resolution of 1 ms.
pub async fn delay_units(mut owner: Owner, delay: Duration) {
    while let Some(event) = owner.next().await {
        if let ProxyEventKind::UnitArrived { permit: Some(permit), .. } = event.kind {
            // A connection has at most one held unit, so there are at most as many tasks as connections.
            tokio::spawn(async move {
                sleep(delay).await;
                permit.release();
            });
        }
    }
}
