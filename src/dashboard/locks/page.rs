//! What is shown of a server: a line that counts, the tree of those who wait, and a table of those who do something.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::known_statements;
use super::sampler::{LockSample, ObservedSession, PERIOD, waits};
use super::tree::{WaitTree, forest};
use crate::report::figures::{counted, listed};

/// Sessions in the tree, and in the table: more are no picture.
const SHOWN_MAX: usize = 50;

/// Letters of a text that is no statement of ours.
const TEXT_MAX: usize = 160;

/// What PostgreSQL shows of a text that is hidden.
const HIDDEN: &str = "<insufficient privilege>";

/// What is shown where no server is.
pub fn no_server() -> Markup {
    html! {
        p { "There is none yet: it is started for the first experiment, or when the " a href="/lab/player" { "player" } " plays." }
    }
}

/// A sample.
pub fn sample(sample: &LockSample, approach: Option<&str>) -> Markup {
    let sessions = match &sample.sessions {
        Ok(sessions) => sessions,
        Err(why) => {
            return html! {
                p.warning { "At " (sample.at) " nothing could be seen: " (why) ". It is tried again every " (PERIOD.as_secs()) " s." }
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
        (count(ObservedSession::lingers), "idle in transaction"),
    ];
    html! {
        p.summary {
            @for (figure, what) in figures { span { b.figure { (figure) } " " (what) } }
            span.soft {
                "at " time datetime=(sample.at) { (sample.at) } ", in " (sample.took.as_millis()) " ms; every " (PERIOD.as_secs()) " s"
            }
        }
    }
}

fn hidden(sessions: &[ObservedSession]) -> Markup {
    let hidden = sessions.iter().filter(|session| session.query == HIDDEN).count();
    html! {
        @if hidden > 0 {
            p.warning role="note" {
                "Of " (counted(hidden as u64, "session")) " the statements are hidden: they belong to other roles, and this one is neither a superuser \
                 nor a member of pg_read_all_stats."
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
    let mut sight = LockView { sessions: by_pid, approach, left: SHOWN_MAX };
    html! {
        h3 { "Who waits for whom" }
        @if forest.is_empty() { p { "Nobody waits." } } @else {
            ul.tree { @for node in &forest { (sight.node(node, None)) } }
            @if sight.left == 0 { p.soft { "More than " (SHOWN_MAX) " are not shown." } }
        }
    }
}

impl LockView<'_> {
    /// Lists within lists. Who is one too many is left out, with those who wait for it.
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
                    None => { b { "process " (node.pid) } " " span.soft { "which is none of the lab's, and is not to be seen" } }
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
            @else if session.lingers() { span.verdict { "idle in transaction " (ms(session.transaction_ms)) } }
            @else { span.verdict { (session.state.as_deref().unwrap_or("hidden")) " " (ms(session.state_ms)) } }
            @if let Some(lock) = &session.lock {
                " on " span.lock { (lock) @if let Some(of) = &session.of { " (" (of) ")" } }
            }
            " · " (statement(session, self.approach))
            @if !node.also.is_empty() { span.soft { " · also for " (listed(&names(&node.also))) } }
            @if !node.circle.is_empty() {
                " · " span.verdict.bad { "✗ in a circle: " (names(&node.circle).join(" → ")) " → " (session.pid) }
                span.soft { ", which PostgreSQL ends after deadlock_timeout" }
            }
        }
    }
}

fn table(sessions: &[ObservedSession], approach: Option<&str>) -> Markup {
    let busy: Vec<&ObservedSession> = sessions.iter().filter(|session| session.counts()).collect();
    html! {
        h3 { "Sessions that are not idle" }
        @if busy.is_empty() { p { "None." } } @else {
            div.wide tabindex="0" role="region" aria-label="Sessions that are not idle" {
                table {
                    thead { tr {
                        th.figure scope="col" { "pid" }
                        th scope="col" { "session" }
                        th scope="col" { "state" }
                        th.figure scope="col" { "for " span.unit { "ms" } }
                        th.figure scope="col" { "transaction " span.unit { "ms" } }
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
            @if busy.len() > SHOWN_MAX { p.soft { "And " (busy.len() - SHOWN_MAX) " more." } }
        }
    }
}

/// What a session does or, if it lingers, did last.
fn statement(session: &ObservedSession, approach: Option<&str>) -> Markup {
    let last = if session.state.as_deref() == Some("active") { "" } else { "last: " };
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
    fn a_wait_is_told_with_who_what_for_how_long_and_in_which_statement() {
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
            "also for 9",
            "idle in transaction 1024 ms",
            "select '&lt;b&gt;'",
        ] {
            assert!(drawn.contains(part), "{part}: {drawn}");
        }
        assert!(!drawn.contains(">3</th>") && !drawn.contains("style="), "{drawn}");
    }

    #[test]
    fn what_is_not_seen_is_told_and_too_much_is_counted() {
        assert!(drawn(Ok(Vec::new())).contains("Nobody waits."));
        assert!(drawn(Err("gone".to_owned())).contains("gone"));
        let secret = ObservedSession { state: None, ..session(1, "", HIDDEN, &[]) };
        assert!(drawn(Ok(vec![secret])).contains("Of 1 session the statements are hidden"));
        let crowd = (1..=60).map(|pid| session(pid, "active", "x", if pid > 1 { &[1] } else { &[] })).collect();
        let drawn = drawn(Ok(crowd));
        assert!(drawn.contains("And 10 more.") && drawn.contains("More than 50 are not shown."), "{drawn}");
        assert_eq!(drawn.matches("<li").count(), SHOWN_MAX);
    }
}
