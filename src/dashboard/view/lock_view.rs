//! The sessions of a server: a line of counts, the tree of waiting sessions, and a table of the sessions that are not idle.

use std::collections::BTreeMap;
use std::sync::Arc;

use maud::{Markup, html};

use super::render_cache::RenderCache;
use crate::dashboard::model::known_statements;
use crate::dashboard::model::lock_sample::{LockReading, LockSample, ObservedSession, SampledServer, waits};
use crate::dashboard::model::wait_tree::{WaitTree, forest};
use crate::report::figures::{counted, listed};

/// Sessions in the tree, and in the table, at most.
const SHOWN_MAX: usize = 50;

/// Characters of a query text that are shown.
const TEXT_MAX: usize = 160;

/// What PostgreSQL shows in place of a hidden query text.
const HIDDEN: &str = "<insufficient privilege>";

/// The newest markup of each server, rendered once for all viewers. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct LockMarkup {
    served: RenderCache<u64, String>,
    experiments: RenderCache<u64, String>,
}

impl LockMarkup {
    /// The markup of a reading, without carriage returns, which would end a line of a server-sent event.
    #[must_use]
    pub fn get(&self, server: SampledServer, newest: &LockReading) -> Arc<String> {
        let cache = match server {
            SampledServer::Served => &self.served,
            SampledServer::Experiments => &self.experiments,
        };
        cache.get(newest.number, || reading(newest).into_string().replace('\r', " "))
    }
}

fn reading(reading: &LockReading) -> Markup {
    match &reading.sample {
        _ if reading.number == 0 => html! { p.soft { "Waiting for the first sample …" } },
        Some(found) => sample(found, reading.approach.as_deref()),
        None => html! {
            p {
                "Not running yet. The lab starts it for the first experiment, or when the "
                a href="/lab/player" { "player" } " is used."
            }
        },
    }
}

fn sample(sample: &LockSample, approach: Option<&str>) -> Markup {
    let sessions = match &sample.sessions {
        Ok(sessions) => sessions,
        Err(why) => {
            return html! {
                p.warning { "At " (sample.at) " the sessions could not be read: " (why) ". The server tries again every second." }
            };
        }
    };
    html! {
        (summary(sample, sessions))
        (hidden(sessions))
        (tree(sessions, approach))
        (table(sessions, approach))
    }
}

fn summary(sample: &LockSample, sessions: &[ObservedSession]) -> Markup {
    let count = |which: fn(&ObservedSession) -> bool| sessions.iter().filter(|session| which(session)).count();
    let figures = [
        (sessions.len(), "sessions"),
        (count(|session| session.state.as_deref() == Some("active")), "active"),
        (count(ObservedSession::waits), "waiting"),
        (count(ObservedSession::is_idle_in_transaction), "idle in transaction"),
    ];
    html! {
        p.summary {
            @for (figure, what) in figures { span { b.figure { (figure) } " " (what) } }
            span.soft {
                "read at " time datetime=(sample.at) { (sample.at) } " in " (sample.took.as_millis()) " ms"
            }
        }
    }
}

fn hidden(sessions: &[ObservedSession]) -> Markup {
    let hidden = sessions.iter().filter(|session| session.query == HIDDEN).count();
    html! {
        @if hidden > 0 {
            p.warning role="note" {
                "PostgreSQL hides the statements of " (counted(hidden as u64, "session")) " of other roles. To see them, the server's database role must be a \
                 superuser or a member of pg_read_all_stats."
            }
        }
    }
}

struct LockView<'a> {
    sessions: BTreeMap<i32, &'a ObservedSession>,
    approach: Option<&'a str>,
    left: usize,
}

fn tree(sessions: &[ObservedSession], approach: Option<&str>) -> Markup {
    let forest = forest(&waits(sessions));
    let by_pid = sessions.iter().map(|session| (session.pid, session)).collect();
    let mut view = LockView { sessions: by_pid, approach, left: SHOWN_MAX };
    html! {
        h3 { "Waiting sessions, below the session for which they wait" }
        @if forest.is_empty() { p { "No session waits for a lock." } } @else {
            ul.tree { @for node in &forest { (view.node(node, None)) } }
            @if view.left == 0 { p.soft { "Only the first " (SHOWN_MAX) " sessions are shown." } }
        }
    }
}

impl LockView<'_> {
    /// A session and, in a list within its item, the sessions that wait for it. Beyond the limit both are left out.
    fn node(&mut self, node: &WaitTree, above: Option<i32>) -> Markup {
        if self.left == 0 {
            return html! {};
        }
        self.left -= 1;
        let session = self.sessions.get(&node.pid).copied();
        html! {
            li data-pid=(node.pid) data-waits-for=[above] {
                @match session {
                    Some(session) => (self.session(session, node)),
                    None if node.pid == 0 => { b { "a prepared transaction" } }
                    None => { b { "process " (node.pid) } " " span.soft { "(not a session of the lab, details hidden)" } }
                }
                @if !node.waiters.is_empty() {
                    ul { @for waiter in &node.waiters { (self.node(waiter, Some(node.pid))) } }
                }
            }
        }
    }

    fn session(&self, session: &ObservedSession, node: &WaitTree) -> Markup {
        let names = |pids: &[i32]| pids.iter().map(ToString::to_string).collect::<Vec<_>>();
        html! {
            b { (session.application) } " " span.soft { "pid " (session.pid) } " "
            @if session.waits() { span.verdict.open { "waits " (ms(session.state_ms)) } }
            @else if session.is_idle_in_transaction() { span.verdict { "idle in transaction " (ms(session.transaction_ms)) } }
            @else { span.verdict { (session.state.as_deref().unwrap_or("hidden")) " " (ms(session.state_ms)) } }
            @if let Some(lock) = &session.lock {
                " on " span.lock { (lock) @if let Some(of) = &session.of { " (" (of) ")" } }
            }
            " · " (statement(session, self.approach))
            @if !node.also.is_empty() { span.soft { " · waits also for " (listed(&names(&node.also))) } }
            @if !node.circle.is_empty() {
                " · " span.verdict.bad { "✗ deadlock: " (names(&node.circle).join(" → ")) " → " (session.pid) }
                span.soft { " (PostgreSQL ends it after deadlock_timeout)" }
            }
        }
    }
}

fn table(sessions: &[ObservedSession], approach: Option<&str>) -> Markup {
    let busy: Vec<&ObservedSession> = sessions.iter().filter(|session| session.is_busy()).collect();
    html! {
        h3 { "Sessions that are not idle" }
        @if busy.is_empty() { p { "All sessions are idle." } } @else {
            div.wide tabindex="0" role="region" aria-label="Sessions that are not idle" {
                table {
                    thead { tr {
                        th.figure scope="col" { "pid" }
                        th scope="col" { "application" }
                        th scope="col" { "state" }
                        th.figure scope="col" { "in this state for " span.unit { "ms" } }
                        th.figure scope="col" { "transaction open for " span.unit { "ms" } }
                        th scope="col" { "waits for" }
                        th scope="col" { "statement" }
                    } }
                    tbody {
                        @for session in busy.iter().take(SHOWN_MAX) {
                            tr {
                                th.figure scope="row" { (session.pid) }
                                td { (session.application) @if let Some(database) = &session.database { br; span.soft { (database) } } }
                                td { (session.state.as_deref().unwrap_or("hidden")) }
                                td.figure { (figure(session.state_ms)) }
                                td.figure { (figure(session.transaction_ms)) }
                                td { (session.event.as_deref().unwrap_or("–")) }
                                td.statement { (statement(session, approach)) }
                            }
                        }
                    }
                }
            }
            @if busy.len() > SHOWN_MAX { p.soft { (busy.len() - SHOWN_MAX) " more are not shown." } }
        }
    }
}

/// The statement that a session runs or ran last.
fn statement(session: &ObservedSession, approach: Option<&str>) -> Markup {
    let last = if session.state.as_deref() == Some("active") { "" } else { "last statement: " };
    let text = session.query.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = text.chars().take(TEXT_MAX).collect();
    html! {
        (last)
        @if let Some(name) = known_statements::name(&session.query, approach) { b { (name) } " " }
        code { (shown) @if shown.len() < text.len() { "…" } }
    }
}

fn ms(ms: Option<i64>) -> String {
    ms.map(|ms| format!("{ms} ms")).unwrap_or_default()
}

fn figure(ms: Option<i64>) -> String {
    ms.map_or_else(|| "–".to_owned(), |ms| ms.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn session(pid: i32, state: &str, query: &str, blockers: &[i32]) -> ObservedSession {
        ObservedSession {
            pid,
            application: "concurrency-lab".to_owned(),
            state: Some(state.to_owned()),
            query: query.to_owned(),
            state_ms: Some(812),
            transaction_ms: Some(1_024),
            blockers: blockers.to_vec(),
            ..ObservedSession::default()
        }
    }

    fn drawn(sessions: Result<Vec<ObservedSession>, String>) -> String {
        let at = "2026-11-21T09:00:00Z".to_owned();
        sample(&LockSample { at, took: Duration::from_millis(3), sessions }, None).into_string()
    }

    #[test]
    fn a_wait_is_shown_with_session_lock_duration_and_statement() {
        let lock = "select balance, version from users where id = $1 for update";
        let holder = session(1, "idle in transaction", "select '<b>'", &[]);
        let waiter = ObservedSession {
            lock: Some("transactionid".to_owned()),
            of: Some("users, row (0,1)".to_owned()),
            ..session(2, "active", lock, &[1, 9])
        };
        let drawn = drawn(Ok(vec![holder, waiter, session(3, "idle", "commit", &[])]));
        for part in [
            "<li data-pid=\"2\" data-waits-for=\"1\">",
            "waits 812 ms",
            "transactionid (users, row (0,1))",
            "lock of pessimistic",
            "waits also for 9",
            "idle in transaction 1024 ms",
            "select '&lt;b&gt;'",
        ] {
            assert!(drawn.contains(part), "{part}: {drawn}");
        }
        assert!(!drawn.contains(">3</th>") && !drawn.contains("style="), "{drawn}");
    }

    #[test]
    fn hidden_and_left_out_sessions_are_counted() {
        assert!(drawn(Ok(Vec::new())).contains("No session waits for a lock."));
        assert!(drawn(Err("gone".to_owned())).contains("gone"));
        let secret = ObservedSession { state: None, ..session(1, "", HIDDEN, &[]) };
        assert!(drawn(Ok(vec![secret])).contains("hides the statements of 1 session of other roles"));
        let crowd = (1..=60).map(|pid| session(pid, "active", "x", if pid > 1 { &[1] } else { &[] })).collect();
        let drawn = drawn(Ok(crowd));
        assert!(
            drawn.contains("10 more are not shown.") && drawn.contains("Only the first 50 sessions are shown."),
            "{drawn}"
        );
        assert_eq!(drawn.matches("<li").count(), SHOWN_MAX);
    }
}
