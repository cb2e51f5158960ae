//! Looks at the sessions of one server, once a second and only while somebody looks at it.
//!
//! It has a connection of its own, which is in no pool: whatever keeps all others busy cannot keep it waiting, and it waits for no lock itself. Who
//! waits for whom takes the lock manager's locks (`pg_blocking_pids`), so only sessions that wait are asked for, and sparsely.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::watch;

use super::page;
use crate::dashboard::Dashboard;

/// Between two looks.
pub const PERIOD: Duration = Duration::from_secs(1);

/// How long it goes on when nobody looks any more: who loads the page anew finds it at work.
const LINGER: Duration = Duration::from_secs(3);

/// How long a connection may take: a server that is full refuses at once.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// How long one look may take, here and as `statement_timeout` there.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// Sessions that are looked at: as many as a server has connections by default, and more tell nobody anything.
const SESSIONS_MAX: i64 = 300;

/// What the sampler's own session is called.
pub const NAME: &str = "concurrency-lab locks";

/// A session that is not the sampler's.
#[derive(Debug, Clone, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct ObservedSession {
    /// Its process.
    pub pid: i32,
    /// What it calls itself.
    pub application: String,
    /// Its database.
    pub database: Option<String>,
    /// `active`, `idle in transaction` …; nothing if it is hidden from us.
    pub state: Option<String>,
    /// What it does, or did last, cut at `track_activity_query_size`.
    pub query: String,
    /// What it waits for, such as `Lock: transactionid`.
    pub event: Option<String>,
    /// For how long it has been in its state, in ms.
    pub state_ms: Option<i64>,
    /// For how long its transaction has been open, in ms.
    pub transaction_ms: Option<i64>,
    /// For whom it waits.
    pub blockers: Vec<i32>,
    /// The lock for which it waits: its kind …
    pub lock: Option<String>,
    /// … and of what.
    pub of: Option<String>,
}

/// The state of those who do nothing.
const IDLE: &str = "idle";

impl ObservedSession {
    /// Whether it does something, or holds something up.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.state.as_deref() != Some(IDLE)
    }

    /// Whether it waits for a lock.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.blockers.is_empty()
    }

    /// Whether it keeps a transaction open, and does nothing in it.
    #[must_use]
    pub fn lingers(&self) -> bool {
        self.state.as_deref().is_some_and(|state| state.starts_with("idle in transaction"))
    }
}

/// Whose sessions: the lab's, and those for whom they wait. A row lock is a wait for a transaction; which row it is says the lock of the row's place
/// in the queue (`tuple`), which who waits for the transaction holds. As long as nobody waits, no lock is looked at. What others send to a
/// database that is somebody's is not ours to show.
const LOOK: &str = "\
with ours as materialized ( \
    select pid, case when wait_event_type = 'Lock' then pg_blocking_pids(pid) \
                     when wait_event = 'SafeSnapshot' then pg_safe_snapshot_blocking_pids(pid) \
                     else '{}' end as blockers \
    from pg_stat_activity \
    where backend_type = 'client backend' and pid <> pg_backend_pid() and application_name <> $2 \
      and (starts_with(application_name, 'concurrency-lab') or $1) \
    limit $3 \
), locks as materialized ( \
    select * from pg_locks where (select coalesce(bool_or(cardinality(blockers) > 0), false) from ours) \
) \
select a.pid, coalesce(a.application_name, '') as application, a.datname::text as database, a.state, \
       case when $1 or starts_with(a.application_name, 'concurrency-lab') then coalesce(a.query, '') \
            else '(a statement of another application)' end as query, a.wait_event_type || ': ' || a.wait_event as event, \
       (extract(epoch from clock_timestamp() - a.state_change) * 1000)::bigint as state_ms, \
       (extract(epoch from clock_timestamp() - a.xact_start) * 1000)::bigint as transaction_ms, \
       coalesce(ours.blockers, '{}') as blockers, l.locktype as lock, \
       case l.locktype \
            when 'advisory' then '(' || l.classid::bigint || ', ' || l.objid::bigint || ')' \
            when 'transactionid' then coalesce( \
                (select h.relation::regclass || ', row (' || h.page || ',' || h.tuple || ')' from locks h \
                 where h.pid = a.pid and h.granted and h.locktype = 'tuple' limit 1), 'transaction ' || l.transactionid) \
            when 'tuple' then l.relation::regclass || ', row (' || l.page || ',' || l.tuple || ')' \
            else l.relation::regclass::text end as of \
from pg_stat_activity a left join ours using (pid) \
     left join lateral (select * from locks l where l.pid = a.pid and not l.granted limit 1) l \
               on cardinality(coalesce(ours.blockers, '{}')) > 0 \
where ours.pid is not null or a.pid = any (select unnest(blockers) from ours) \
order by a.pid";

/// What was seen on a server at one moment.
#[derive(Debug)]
pub struct LockSample {
    /// When, as UTC.
    pub at: String,
    /// How long the look took.
    pub took: Duration,
    /// The sessions, or why nothing was seen.
    pub sessions: Result<Vec<ObservedSession>, String>,
}

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumIter, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum SampledServer {
    /// The one that is served.
    Served,
    /// That of experiments.
    Experiments,
}

impl SampledServer {
    /// How it is reached, and whether everybody there is ours; `None` as long as there is none.
    fn options(self, dashboard: &Dashboard) -> Option<(PgConnectOptions, bool)> {
        use crate::dashboard::experiment_databases::DatabasePurpose;
        match self {
            Self::Served => Some((dashboard.watch.served.clone(), false)),
            Self::Experiments => {
                let all = !dashboard.laboratory.is_shared();
                Some((dashboard.laboratory.ready(DatabasePurpose::Experiment)?, all))
            }
        }
    }
}

/// What is shown of a server now: the same for all who look, so that it is drawn once.
#[derive(Debug, Clone, Default)]
pub struct LockDisplay {
    /// The number of the sample.
    pub number: u64,
    /// The markup.
    pub html: Arc<str>,
}

/// Looks at one server while somebody looks at what it has seen.
#[derive(Debug)]
pub struct LockSampler {
    place: SampledServer,
    shown: watch::Sender<LockDisplay>,
    works: Mutex<bool>,
}

impl LockSampler {
    /// One that has not looked yet.
    #[must_use]
    pub fn new(place: SampledServer) -> Self {
        Self { place, shown: watch::Sender::new(LockDisplay::default()), works: Mutex::new(false) }
    }

    /// What it has seen last, and hears of what it sees; it looks for as long as somebody has this.
    pub fn follow(self: &Arc<Self>, dashboard: &Arc<Dashboard>) -> watch::Receiver<LockDisplay> {
        let mut works = self.works.lock().unwrap_or_else(PoisonError::into_inner);
        let follower = self.shown.subscribe();
        if !*works {
            *works = true;
            tokio::spawn(Arc::clone(self).work(Arc::clone(dashboard)));
        }
        follower
    }

    /// What it has seen last.
    #[must_use]
    pub fn last(&self) -> LockDisplay {
        self.shown.borrow().clone()
    }

    async fn work(self: Arc<Self>, dashboard: Arc<Dashboard>) {
        let mut eye = SamplerConnection::default();
        let mut seen_by_somebody = Instant::now();
        let mut number = self.last().number;
        while !dashboard.closing.is_cancelled() {
            if self.shown.receiver_count() > 0 {
                seen_by_somebody = Instant::now();
            }
            if seen_by_somebody.elapsed() > LINGER && self.stops() {
                break;
            }
            number += 1;
            let html = match self.place.options(&dashboard) {
                None => page::no_server().into_string(),
                Some((options, all)) => {
                    let sample = eye.look(options, all).await;
                    // What an experiment is on says nothing about what is served.
                    let approach = dashboard.bench.approach().filter(|_| self.place == SampledServer::Experiments);
                    page::sample(&sample, approach.as_deref()).into_string()
                }
            };
            // A carriage return would end a line of an event.
            self.shown.send_replace(LockDisplay { number, html: html.replace('\r', " ").into() });
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = dashboard.closing.cancelled() => {}
            }
        }
        eye.close().await;
    }

    /// Nobody looks: whoever comes next starts it anew.
    fn stops(&self) -> bool {
        let mut works = self.works.lock().unwrap_or_else(PoisonError::into_inner);
        *works = self.shown.receiver_count() > 0;
        !*works
    }
}

/// The connection, as long as there is one.
#[derive(Debug, Default)]
struct SamplerConnection {
    connection: Option<PgConnection>,
}

impl SamplerConnection {
    async fn look(&mut self, options: PgConnectOptions, all: bool) -> LockSample {
        let began = Instant::now();
        let sessions = self.sessions(options, all).await;
        let at = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
        LockSample { at, took: began.elapsed(), sessions }
    }

    async fn sessions(&mut self, options: PgConnectOptions, all: bool) -> Result<Vec<ObservedSession>, String> {
        // Gone from here while it is used: one that was given up in the midst of an answer is not used again.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(options).await?,
        };
        let look = sqlx::query_as(LOOK).bind(all).bind(NAME).bind(SESSIONS_MAX).fetch_all(&mut connection);
        let seen: Vec<ObservedSession> = match tokio::time::timeout(LOOK_MAX, look).await {
            Err(_elapsed) => return Err(format!("it did not answer within {} s", LOOK_MAX.as_secs())),
            Ok(seen) => seen.map_err(|error| error.to_string())?,
        };
        self.connection = Some(connection);
        Ok(seen)
    }

    async fn close(self) {
        if let Some(connection) = self.connection {
            // Nothing hangs on how it ends.
            let _ = tokio::time::timeout(CONNECT_MAX, connection.close()).await;
        }
    }
}

async fn connect(options: PgConnectOptions) -> Result<PgConnection, String> {
    let limit = LOOK_MAX.as_millis().to_string();
    let settings = [("statement_timeout", limit.as_str()), ("search_path", "concurrency_lab,concurrency_lab_explore")];
    let options = options.application_name(NAME).options(settings).disable_statement_logging();
    match tokio::time::timeout(CONNECT_MAX, PgConnection::connect_with(&options)).await {
        Err(_elapsed) => Err(format!("no connection within {} s", CONNECT_MAX.as_secs())),
        Ok(connection) => connection.map_err(|error| error.to_string()),
    }
}

/// For whom each waits.
#[must_use]
pub fn waits(sessions: &[ObservedSession]) -> BTreeMap<i32, Vec<i32>> {
    sessions.iter().map(|session| (session.pid, session.blockers.clone())).collect()
}
