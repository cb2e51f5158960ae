//! Samples the sessions and locks of a PostgreSQL server, once a second and only while a page is open.
//!
//! The sampler has a connection of its own, outside of every pool, and waits for no lock. So it works even while every other session waits.
//! `pg_blocking_pids` takes locks of the lock manager, so it is called only for sessions that wait.
//!
//! All viewers share one sample. A channel keeps only the newest, so a slow viewer misses samples and delays nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use strum::IntoEnumIterator as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::experiment_databases::{DatabasePurpose, ExperimentDatabases};
use super::experiment_slot::ExperimentSlot;
use crate::dashboard::model::lock_sample::{LockReading, LockSample, ObservedSession, SampledServer};
use crate::database::opening::{ConnectionOpener, Examination};
use crate::database::{ErrorText, SessionSetting};

/// Between two samples.
pub const PERIOD: Duration = Duration::from_secs(1);

/// How long sampling goes on without a viewer, so that a page that is reloaded finds it running.
const LINGER: Duration = Duration::from_secs(3);

/// How long connecting may take. A server that has no connection left refuses at once.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// How long one query may take; also its `statement_timeout`.
const QUERY_MAX: Duration = Duration::from_secs(2);

/// Sessions in a sample at most: more than a page can show.
const SESSIONS_MAX: i64 = 300;

/// The `application_name` of the sampler's own session.
pub const NAME: &str = "concurrency-lab locks";

/// The lab's sessions, and the sessions for which they wait. A session that waits for a row lock waits for a transaction; the `tuple` lock, which it
/// holds meanwhile, names the row. While no session waits, the query reads no locks. It does not show the statements that other applications
/// send to a database of the user's.
const QUERY: &str = "\
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

/// The samplers of all servers. Clones share them.
#[derive(Debug, Clone)]
pub struct LockWatch {
    samplers: Arc<[(SampledServer, Arc<LockSampler>)]>,
    closing: CancellationToken,
}

impl LockWatch {
    /// Watches the database that is served, and the databases of experiments once there are any.
    #[must_use]
    pub fn new(
        served: &PgConnectOptions,
        databases: &Arc<ExperimentDatabases>,
        slot: &ExperimentSlot,
        closing: CancellationToken,
    ) -> Self {
        let target = |server| match server {
            SampledServer::Served => SampleTarget::Served(Box::new(served.clone())),
            SampledServer::Experiments => SampleTarget::Experiments(Arc::clone(databases), slot.clone()),
        };
        let sampler = |server| (server, Arc::new(LockSampler::new(target(server), closing.clone())));
        Self { samplers: SampledServer::iter().map(sampler).collect(), closing }
    }

    /// The newest reading of each server.
    pub fn last(&self) -> impl Iterator<Item = (SampledServer, Arc<LockReading>)> {
        self.samplers.iter().map(|(server, sampler)| (*server, Arc::clone(&sampler.readings.borrow())))
    }

    /// The newest reading of each server, now and after each sample. Sampling goes on for as long as a receiver is there.
    #[must_use]
    pub fn follow(&self) -> Vec<(SampledServer, watch::Receiver<Arc<LockReading>>)> {
        self.samplers.iter().map(|(server, sampler)| (*server, sampler.follow())).collect()
    }

    /// Cancelled when the server closes.
    #[must_use]
    pub fn closing(&self) -> &CancellationToken {
        &self.closing
    }
}

/// Where the sampler connects.
#[derive(Debug)]
enum SampleTarget {
    Served(Box<PgConnectOptions>),
    Experiments(Arc<ExperimentDatabases>, ExperimentSlot),
}

impl SampleTarget {
    /// The connection options, and whether all sessions there are the lab's; `None` while the server does not run.
    fn options(&self) -> Option<(PgConnectOptions, bool)> {
        match self {
            Self::Served(options) => Some((PgConnectOptions::clone(options), false)),
            Self::Experiments(databases, _) => {
                Some((databases.ready(DatabasePurpose::Experiment)?, !databases.is_shared()))
            }
        }
    }

    /// The approach of the run that is under way there.
    fn approach(&self) -> Option<String> {
        match self {
            Self::Served(_) => None,
            Self::Experiments(_, slot) => slot.approach(),
        }
    }
}

/// Samples one server while there are viewers.
#[derive(Debug)]
struct LockSampler {
    target: SampleTarget,
    closing: CancellationToken,
    readings: watch::Sender<Arc<LockReading>>,
    is_running: Mutex<bool>,
}

impl LockSampler {
    fn new(target: SampleTarget, closing: CancellationToken) -> Self {
        Self { target, closing, readings: watch::Sender::default(), is_running: Mutex::new(false) }
    }

    fn follow(self: &Arc<Self>) -> watch::Receiver<Arc<LockReading>> {
        let mut is_running = self.is_running.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.readings.subscribe();
        if !*is_running {
            *is_running = true;
            tokio::spawn(Arc::clone(self).run());
        }
        receiver
    }

    async fn run(self: Arc<Self>) {
        let mut connection = SamplerConnection::default();
        let mut last_viewer = Instant::now();
        let mut number = self.readings.borrow().number;
        while !self.closing.is_cancelled() {
            if self.readings.receiver_count() > 0 {
                last_viewer = Instant::now();
            }
            if last_viewer.elapsed() > LINGER && self.stops() {
                break;
            }
            number += 1;
            let sample = match self.target.options() {
                None => None,
                Some((options, all_ours)) => Some(connection.sample(options, all_ours).await),
            };
            let approach = self.target.approach();
            self.readings.send_replace(Arc::new(LockReading { number, sample, approach }));
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = self.closing.cancelled() => {}
            }
        }
        connection.close().await;
    }

    /// Marks the sampler as stopped, unless a viewer has come meanwhile. The next viewer starts it again.
    fn stops(&self) -> bool {
        let mut is_running = self.is_running.lock().unwrap_or_else(PoisonError::into_inner);
        *is_running = self.readings.receiver_count() > 0;
        !*is_running
    }
}

/// The sampler's connection; opened when it is needed.
#[derive(Debug, Default)]
struct SamplerConnection {
    connection: Option<PgConnection>,
}

impl SamplerConnection {
    async fn sample(&mut self, options: PgConnectOptions, all: bool) -> LockSample {
        let began = Instant::now();
        let sessions = self.sessions(options, all).await;
        let at = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
        LockSample { at, took: began.elapsed(), sessions }
    }

    async fn sessions(&mut self, options: PgConnectOptions, all: bool) -> Result<Vec<ObservedSession>, String> {
        // Taken out while it is used: a connection that is dropped in the middle of an answer is not used again.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(options).await?,
        };
        let query = sqlx::query_as(QUERY).bind(all).bind(NAME).bind(SESSIONS_MAX).fetch_all(&mut connection);
        let sessions: Vec<ObservedSession> = match tokio::time::timeout(QUERY_MAX, query).await {
            Err(_elapsed) => return Err(format!("PostgreSQL did not answer within {} s", QUERY_MAX.as_secs())),
            Ok(sessions) => sessions.map_err(|error| ErrorText(&error).to_string())?,
        };
        self.connection = Some(connection);
        Ok(sessions)
    }

    async fn close(self) {
        if let Some(connection) = self.connection {
            // The result of closing does not matter.
            let _ = tokio::time::timeout(CONNECT_MAX, connection.close()).await;
        }
    }
}

async fn connect(options: PgConnectOptions) -> Result<PgConnection, String> {
    let settings = vec![
        SessionSetting::time("statement_timeout", QUERY_MAX),
        SessionSetting::new("search_path", "concurrency_lab,concurrency_lab_explore"),
    ];
    let options = options.application_name(NAME).disable_statement_logging();
    let opener = ConnectionOpener::new(options, settings, CONNECT_MAX);
    match tokio::time::timeout(CONNECT_MAX, opener.open(Examination::Alone)).await {
        Err(_elapsed) => Err(format!("PostgreSQL accepted no connection within {} s", CONNECT_MAX.as_secs())),
        Ok(opened) => opened.map(|opened| opened.connection).map_err(|error| error.to_string()),
    }
}
