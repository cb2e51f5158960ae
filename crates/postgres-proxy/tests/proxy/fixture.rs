//! The PostgreSQL that the tests share, proxies in front of it, and an owner that waits for events.

use std::fs;
use std::sync::{Arc, Weak};
use std::time::Duration;

use postgres_proxy::{
    AnswerPermit, ClientUnit, ClosedConnection, ConnectionId, EventSender, HeldUnits, Owner, Proxy, ProxyEvent,
    ProxyEventKind, ProxyOptions, ServerAddress, UnitAnswer, UnitPermit,
};
use private_postgres::Cluster;
use sqlx::{ConnectOptions, Connection, Executor};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

/// No wait of a test is longer.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Long enough for something that must not happen to happen.
pub const NOTHING_HAPPENS: Duration = Duration::from_millis(100);

const MAX_CONNECTIONS: u32 = 450;

static SHARED: Mutex<Weak<Cluster>> = Mutex::const_new(Weak::new());

/// The shared PostgreSQL. Its user `raw` needs no password.
pub async fn cluster() -> Arc<Cluster> {
    let mut shared = SHARED.lock().await;
    if let Some(cluster) = shared.upgrade() {
        return cluster;
    }
    let cluster = Cluster::start_temporary(None, MAX_CONNECTIONS).await.unwrap();
    let rules = cluster.data_dir().join("cluster/pg_hba.conf");
    let others = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, format!("local all raw trust\n{others}")).unwrap();
    let mut connection = cluster.connect_options().connect().await.unwrap();
    connection.execute("create user raw superuser").await.unwrap();
    connection.execute("create user other password 'pass word'").await.unwrap();
    connection.execute("select pg_reload_conf()").await.unwrap();
    connection.close().await.unwrap();
    let cluster = Arc::new(cluster);
    *shared = Arc::downgrade(&cluster);
    cluster
}

/// A proxy in front of the shared PostgreSQL, with its owner.
pub struct Fixture {
    pub proxy: Proxy,
    pub owner: Owner,
    pub cluster: Arc<Cluster>,
}

impl Fixture {
    pub async fn new(held_units: HeldUnits) -> Self {
        let cluster = cluster().await;
        let (owner, events) = Owner::channel();
        let proxy = start(server_of(&cluster), held_units, Some(events)).await;
        Self { proxy, owner, cluster }
    }

    /// The next event, of any connection.
    pub async fn next(&mut self) -> ProxyEvent {
        timeout(LIMIT, self.owner.next()).await.expect("an event in time").expect("an event")
    }

    /// The next event that has a value; others are dropped, and so what they hold goes.
    pub async fn find<T>(&mut self, mut value: impl FnMut(ProxyEvent) -> Option<T>) -> T {
        loop {
            if let Some(value) = value(self.next().await) {
                return value;
            }
        }
    }

    /// The next unit that waits.
    pub async fn held(&mut self) -> (ConnectionId, Arc<ClientUnit>, UnitPermit) {
        self.find(|event| match event.kind {
            ProxyEventKind::UnitArrived { unit, permit: Some(permit) } => Some((event.connection, unit, permit)),
            _ => None,
        })
        .await
    }

    /// The next unit that runs something.
    pub async fn executing(&mut self) -> Arc<ClientUnit> {
        self.find(|event| match event.kind {
            ProxyEventKind::UnitArrived { unit, .. } if !unit.is_housekeeping() => Some(unit),
            _ => None,
        })
        .await
    }

    /// The next answer, with its permit if it is withheld.
    pub async fn answered(&mut self) -> (UnitAnswer, Option<AnswerPermit>) {
        self.find(|event| match event.kind {
            ProxyEventKind::UnitAnswered { answer, permit } => Some((*answer, permit)),
            _ => None,
        })
        .await
    }

    /// The next answer that has a result or an error.
    pub async fn result(&mut self) -> UnitAnswer {
        loop {
            let (answer, _) = self.answered().await;
            if answer.result_count > 0 || answer.error.is_some() {
                return answer;
            }
        }
    }

    /// The next connection that becomes ready.
    pub async fn ready(&mut self) -> (ConnectionId, i32) {
        self.find(|event| match event.kind {
            ProxyEventKind::Ready { backend_pid } => Some((event.connection, backend_pid)),
            _ => None,
        })
        .await
    }

    /// The next end of a connection.
    pub async fn closed(&mut self) -> (ConnectionId, ClosedConnection) {
        self.find(|event| match event.kind {
            ProxyEventKind::Closed(closed) => Some((event.connection, closed)),
            _ => None,
        })
        .await
    }

    /// A connection of tokio-postgres through the proxy.
    pub async fn client(&self) -> Client {
        connect(&self.proxy).await
    }

    /// A connection to PostgreSQL that does not pass the proxy.
    pub async fn direct(&self) -> sqlx::PgConnection {
        self.cluster.connect_options().connect().await.unwrap()
    }
}

pub fn server_of(cluster: &Cluster) -> ServerAddress {
    ServerAddress::socket_dir(cluster.connect_options().get_socket().unwrap(), 5432)
}

pub async fn start(server: ServerAddress, held_units: HeldUnits, events: Option<EventSender>) -> Proxy {
    Proxy::start(ProxyOptions { held_units, events, ..ProxyOptions::new(server) }).await.unwrap()
}

pub async fn connect(proxy: &Proxy) -> Client {
    connect_to(proxy.address().port()).await
}

pub async fn connect_to(port: u16) -> Client {
    let config = format!("host=127.0.0.1 port={port} user=raw dbname=postgres");
    let (client, connection) = timeout(LIMIT, tokio_postgres::connect(&config, NoTls)).await.unwrap().unwrap();
    tokio::spawn(connection);
    client
}

/// Waits until the session with this pid is in `pg_sleep`.
pub async fn sleeps(direct: &mut sqlx::PgConnection, pid: i32) {
    let sql = "select count(*) from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'";
    let direct = Mutex::new(direct);
    until(async || {
        let mut direct = direct.lock().await;
        sqlx::query_scalar::<_, i64>(sql).bind(pid).fetch_one(&mut **direct).await.unwrap() == 1
    })
    .await;
}

/// Waits until a condition holds.
pub async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, waiting).await.expect("the condition in time");
}
