//! Where requests wait in the server, from the `Server-Timing` of the traced requests.
//!
//! A trace shows how long each statement took, but not why. The time beyond the fastest statement of the same name counts as
//! waiting: usually for a lock, sometimes for a core. COMMIT is counted apart, because it waits for the disk.

use rustc_hash::FxHashMap;

use super::results::Waits;

/// Times of one kind of statement, in µs.
#[derive(Debug, Clone, Copy)]
struct StatementTimes {
    count: u64,
    sum_us: f64,
    least_us: f64,
}

/// The sums of all traces.
#[derive(Debug, Clone, Default)]
pub struct TraceTotals {
    traced: u64,
    row_us: f64,
    pool_us: f64,
    by_name: FxHashMap<String, StatementTimes>,
}

/// The most names of statements that are counted apart; a strategy has about five.
const NAMES_MAX: usize = 64;

impl TraceTotals {
    /// Adds one request's `Server-Timing`: `connection;dur=0.1;desc="…", begin;dur=0.2;desc="…"`, times in ms.
    pub fn add(&mut self, server_timing: &str) {
        self.traced += 1;
        for (name, ms) in metrics(server_timing) {
            let us = ms * 1e3;
            if name == "row-queue" {
                self.row_us += us;
            } else if matches!(name, "connection" | "wait") {
                // Servers of version 0.1 before `row-queue` report both waits as one metric, `wait`.
                self.pool_us += us;
            } else if self.by_name.len() < NAMES_MAX || self.by_name.contains_key(name) {
                let times = self.by_name.entry(name.to_owned()).or_insert(StatementTimes {
                    count: 0,
                    sum_us: 0.0,
                    least_us: us,
                });
                times.count += 1;
                times.sum_us += us;
                times.least_us = times.least_us.min(us);
            }
        }
    }

    /// The means per request; `None` if no request was traced.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "means for people")]
    pub fn waits(&self) -> Option<Waits> {
        if self.traced == 0 {
            return None;
        }
        let traced = self.traced as f64;
        let mut waits = Waits {
            traced: self.traced,
            row_us: self.row_us / traced,
            pool_us: self.pool_us / traced,
            ..Waits::default()
        };
        for (name, times) in &self.by_name {
            if name == "commit" {
                waits.commit_us += times.sum_us / traced;
            } else {
                let work_us = times.least_us * times.count as f64;
                waits.statements_us += work_us / traced;
                waits.locks_us += (times.sum_us - work_us) / traced;
            }
        }
        Some(waits)
    }
}

/// Names and durations. A description may hold anything but a double quote.
fn metrics(server_timing: &str) -> impl Iterator<Item = (&str, f64)> {
    // Only outside quotes, which is in every other piece, does a comma end a metric.
    server_timing.split('"').step_by(2).flat_map(|outside| outside.split(',')).filter_map(|metric| {
        let mut parameters = metric.trim().split(';');
        let name = parameters.next()?;
        let ms = parameters.find_map(|parameter| parameter.trim().strip_prefix("dur="))?.parse().ok()?;
        Some((name, ms))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_what_statements_took_beyond_their_fastest() {
        let mut traces = TraceTotals::default();
        assert_eq!(traces.waits(), None);
        traces.add(r#"row-queue;dur=3.000;desc="a", connection;dur=1.000;desc="b, c", lock;dur=0.100;desc="select a, b; for update", commit;dur=0.500;desc="commit""#);
        traces.add(r#"lock;dur=0.300;desc="select a, b; for update", commit;dur=0.700;desc="commit""#);
        let waits = traces.waits().unwrap();
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{waits:?}");
        assert_eq!(waits.traced, 2);
        close(waits.row_us, 1500.0);
        close(waits.pool_us, 500.0);
        close(waits.statements_us, 100.0);
        close(waits.locks_us, 100.0);
        close(waits.commit_us, 600.0);
    }

    #[test]
    fn text_that_is_no_server_timing_is_ignored() {
        let mut traces = TraceTotals::default();
        for text in ["", "cache;desc=hit", "db;dur=x", "\"", ";;;,,,"] {
            traces.add(text);
        }
        assert_eq!(traces.waits(), Some(Waits { traced: 5, ..Waits::default() }));
    }
}
