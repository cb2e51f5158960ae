//! The handle of a proxy, and its listener.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::address::ServerAddress;
use crate::connection::{Place, serve};
use crate::error::ProxyError;
use crate::event::ConnectionId;
use crate::limits::{DRAIN_TIMEOUT, MAX_CONNECTIONS};
use crate::owner::EventSender;
use crate::permit::HeldUnits;
use crate::proxied::ProxiedConnection;
use crate::registry::OpenConnections;
use crate::status::{ConnectionStatus, ProxyCounts, ProxyTotals};

/// How to run a proxy.
#[derive(Debug, Clone)]
pub struct ProxyOptions {
    /// The real server.
    pub server: ServerAddress,
    /// The port on 127.0.0.1; 0 is any free one.
    pub port: u16,
    /// Which units wait for the owner.
    pub held_units: HeldUnits,
    /// Where events go; without it, none are made and nothing is held.
    pub events: Option<EventSender>,
    /// Connections at a time, 1 to [`MAX_CONNECTIONS`].
    pub max_connections: usize,
}

impl ProxyOptions {
    /// A proxy that only forwards, on any free port.
    #[must_use]
    pub fn new(server: ServerAddress) -> Self {
        Self { server, port: 0, held_units: HeldUnits::None, events: None, max_connections: MAX_CONNECTIONS }
    }
}

/// A running proxy. Dropping it closes its port and cuts its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<ProxyShared>,
    withholds_notifications: watch::Sender<bool>,
    /// Dropping it ends the listener in order.
    running: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct ProxyShared {
    options: ProxyOptions,
    totals: Arc<ProxyTotals>,
    open: OpenConnections,
}

/// Ids differ in the whole process, so that one owner can have several proxies.
static LAST_ID: AtomicU64 = AtomicU64::new(0);

/// The pause after the operating system could not accept a connection, such as for too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Proxy {
    /// Starts to listen on 127.0.0.1. It connects to the server only when a client comes.
    ///
    /// # Errors
    ///
    /// If the port cannot be listened on, or if `max_connections` is out of its range.
    pub async fn start(options: ProxyOptions) -> Result<Self, ProxyError> {
        let value = options.max_connections;
        if !(1..=MAX_CONNECTIONS).contains(&value) {
            return Err(ProxyError::MaxConnections { value });
        }
        let port = options.port;
        let listen = async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) = listen.await.map_err(|source| ProxyError::Listen { port, source })?;
        let shared = Arc::new(ProxyShared { options, totals: Arc::default(), open: OpenConnections::default() });
        let (withholds_notifications, withholds) = watch::channel(false);
        let (running, stopped) = oneshot::channel();
        let task = tokio::spawn(listen_on(listener, Arc::clone(&shared), withholds, stopped));
        Ok(Self { address, shared, withholds_notifications, running: Some(running), task })
    }

    /// Where the application connects to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The state of the open connections, by id.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionStatus> {
        self.shared.open.all().iter().map(|connection| connection.status()).collect()
    }

    /// The state of a connection; none if it has ended.
    #[must_use]
    pub fn connection(&self, id: ConnectionId) -> Option<ConnectionStatus> {
        self.shared.open.get(id).map(|connection| connection.status())
    }

    /// Counts since the start.
    #[must_use]
    pub fn counts(&self) -> ProxyCounts {
        let totals = &self.shared.totals;
        ProxyCounts {
            accepted: totals.accepted.get(),
            open: self.shared.open.len() as u64,
            refused: totals.refused.get(),
            cancel_requests: totals.cancel_requests.get(),
            encryption_refused: totals.encryption_refused.get(),
            lost_track: totals.lost_track.get(),
        }
    }

    /// Cuts a connection on both sides. Returns whether it was open.
    #[expect(clippy::must_use_candidate, reason = "a connection that has ended needs no cut")]
    pub fn cut(&self, id: ConnectionId) -> bool {
        self.shared.open.get(id).inspect(|connection| connection.cut.notify_one()).is_some()
    }

    /// Withholds the notifications of LISTEN from all clients, or lets those go that were withheld.
    ///
    /// While they are withheld, a connection keeps [`crate::limits::WITHHELD_NOTIFICATION_BYTES`] of them. Those that come
    /// within an answer that is withheld stay with that answer.
    pub fn withhold_notifications(&self, withhold: bool) {
        self.withholds_notifications.send_replace(withhold);
    }

    /// Closes the port, cuts all connections, and waits for their ends.
    pub async fn stop(mut self) {
        drop(self.running.take());
        // The listener bounds its own wait; this is for an owner that does not read.
        let _ = timeout(2 * DRAIN_TIMEOUT, &mut self.task).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The connections are tasks of this task, and end with it.
        self.task.abort();
    }
}

impl ProxyShared {
    fn connection(&self, client: &TcpStream, withholds: &watch::Receiver<bool>) -> ProxiedConnection {
        let id = ConnectionId(LAST_ID.fetch_add(1, Ordering::Relaxed) + 1);
        let address = client.local_addr().unwrap_or_else(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let events = self.options.events.clone();
        let holds = if events.is_some() { self.options.held_units } else { HeldUnits::None };
        ProxiedConnection::new((id, address), holds, events, Arc::clone(&self.totals), withholds.clone())
    }
}

async fn listen_on(
    listener: TcpListener,
    shared: Arc<ProxyShared>,
    withholds: watch::Receiver<bool>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => accept(client, &shared, &withholds, &mut tasks),
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = tasks.join_next() => {}
            _ = &mut stopped => break,
        }
    }
    drop(listener);
    for connection in shared.open.all() {
        connection.cut.notify_one();
    }
    let _ = timeout(DRAIN_TIMEOUT, async { while tasks.join_next().await.is_some() {} }).await;
}

fn accept(client: TcpStream, shared: &Arc<ProxyShared>, withholds: &watch::Receiver<bool>, tasks: &mut JoinSet<()>) {
    shared.totals.accepted.add(1);
    // It fails only for a client that has closed, and the next read finds that.
    let _ = client.set_nodelay(true);
    let connection = Arc::new(shared.connection(&client, withholds));
    let shared = Arc::clone(shared);
    let max_connections = shared.options.max_connections;
    let place = if shared.open.len() < max_connections {
        shared.open.insert(&connection);
        Place::Session
    } else {
        Place::Full { max_connections }
    };
    // A client that is refused stays for the time of its first packet. A flood of those is not answered at all.
    if place == Place::Session || tasks.len() < 2 * max_connections {
        tasks.spawn(async move { serve(client, &connection, &shared.options.server, &shared.open, place).await });
    }
}
