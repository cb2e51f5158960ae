//! Progress on standard error: on a terminal one line that changes; elsewhere a line for each exploration that is done, and every ten seconds
//! one for each that is running.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::output::tell;
use crate::explore::findings::{Exploration, Subject};
use crate::explore::report::view::title;
use crate::explore::search::SearchProgress;
use crate::explore::worker_pool::ExploreObserver;
use crate::report::figures::{counted, float, whole};
use crate::report::printable::printable;

/// The time between two lines of an exploration, where standard error is no terminal.
const LINES_EVERY: Duration = Duration::from_secs(10);

/// The explored part of the tree from which on an estimate of the rest is shown. One from a smaller part may be wrong by orders of
/// magnitude, because the first branches are seldom like the others.
const EXPLORED_MIN: f64 = 0.1;

/// Shows the progress of all explorations.
#[derive(Debug)]
pub struct ExploreProgress {
    bar: Option<ProgressBar>,
    /// `--limit`.
    limit: Option<u64>,
    clocks: Mutex<BTreeMap<usize, ExplorationClock>>,
}

impl ExploreProgress {
    /// The progress of this number of explorations, each of at most `limit` interleavings.
    pub fn new(explorations: usize, limit: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(explorations as u64), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{pos}/{len} {elapsed} {wide_msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, limit, clocks: Mutex::default() }
    }

    /// Removes the line from the terminal.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The times of an exploration.
#[derive(Debug)]
struct ExplorationClock {
    began: Instant,
    /// With crash points, each is a search of its own.
    search_began: Instant,
    last_line: Instant,
}

impl ExplorationClock {
    fn new(now: Instant) -> Self {
        Self { began: now, search_began: now, last_line: now }
    }

    /// How far the exploration is, in words.
    fn told(&mut self, progress: &SearchProgress, limit: Option<u64>, now: Instant) -> String {
        if progress.interleavings == 0 {
            self.search_began = now;
        }
        let rest = rest(progress, limit);
        let of =
            rest.map_or(String::new(), |rest| format!(" of about {}", whole(float(progress.interleavings) + rest)));
        let run = match of.as_str() {
            "" => counted(progress.interleavings, "interleaving"),
            of => format!("{}{of} interleavings", progress.interleavings),
        };
        let seconds = now.duration_since(self.search_began).as_secs_f64();
        let rate = float(progress.interleavings) / seconds;
        let elapsed = format!("{run}, {} s", now.duration_since(self.began).as_secs());
        if progress.interleavings == 0 || !rate.is_finite() {
            return elapsed;
        }
        let left = rest.map_or(String::new(), |rest| format!(", about {} s left", whole((rest / rate).ceil())));
        format!("{elapsed}, {rate:.0}/s{left}")
    }

    /// Whether it is time for a line.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = now.duration_since(self.last_line) >= LINES_EVERY;
        if due {
            self.last_line = now;
        }
        due
    }
}

/// How many interleavings are still to be run; `None` if that cannot be told. The size of a sample is known; of a depth-first search it is
/// estimated from the part of the tree that is explored.
fn rest(progress: &SearchProgress, limit: Option<u64>) -> Option<f64> {
    let run = float(progress.interleavings);
    let limited = limit.map(|limit| (float(limit) - run).max(0.0));
    if progress.sample.is_some() {
        return limited;
    }
    let explored = progress.explored - progress.before;
    let estimated = (explored >= EXPLORED_MIN).then(|| run * (1.0 - progress.explored).max(0.0) / explored);
    // Without an estimate, the limit is only a bound.
    estimated.map(|estimated| limited.map_or(estimated, |limited| limited.min(estimated)))
}

impl ExploreObserver for ExploreProgress {
    fn progress(&self, job: usize, subject: &Subject, progress: SearchProgress) {
        let now = Instant::now();
        let mut clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        let clock = clocks.entry(job).or_insert_with(|| ExplorationClock::new(now));
        let told = clock.told(&progress, self.limit, now);
        let line = format!("{}: {told}", title(subject));
        match &self.bar {
            Some(bar) => bar.set_message(printable(&line)),
            None if clock.is_due(now) => tell(&line),
            None => {}
        }
    }

    fn slow_deadlocks(&self) {
        tell(
            "concurrency-lab: WARNING: this database user may not lower deadlock_timeout, so each deadlock takes as long as \
             the server's setting, and its victim is the session that waited first; use a superuser to avoid that",
        );
    }

    fn done(&self, job: usize, exploration: &Exploration) {
        self.clocks.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
        match &self.bar {
            Some(bar) => bar.inc(1),
            None => tell(&format!(
                "{}: {}, {} interleavings in {:.1} s",
                title(&exploration.subject),
                exploration.verdict,
                exploration.interleavings,
                exploration.elapsed_s
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::search::progress::SampleProgress;

    #[test]
    fn the_rest_is_told_only_where_it_can_be() {
        let depth_first =
            |explored, before| SearchProgress { interleavings: 100, explored, before, ..SearchProgress::default() };
        let sample = SearchProgress { sample: Some(SampleProgress::default()), ..depth_first(0.0, 0.0) };
        for (progress, limit, expected) in [
            (depth_first(0.25, 0.0), None, Some(300.0)),
            (depth_first(0.05, 0.0), None, None),
            (depth_first(1.0, 0.0), None, Some(0.0)),
            // An earlier search has explored the first half.
            (depth_first(0.75, 0.5), None, Some(100.0)),
            (depth_first(0.55, 0.5), None, None),
            (depth_first(0.25, 0.0), Some(150), Some(50.0)),
            (depth_first(0.25, 0.0), Some(10_000), Some(300.0)),
            (depth_first(0.05, 0.0), Some(10_000), None),
            (sample, Some(400), Some(300.0)),
        ] {
            assert_eq!(rest(&progress, limit), expected, "{progress:?}, {limit:?}");
        }
    }

    #[test]
    fn a_line_says_how_many_how_fast_and_how_long_and_comes_every_ten_seconds() {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let mut clock = ExplorationClock::new(began);
        let mut progress = SearchProgress::default();
        assert_eq!(clock.told(&progress, None, after(1)), "0 interleavings, 1 s");
        progress.interleavings = 1;
        assert_eq!(clock.told(&progress, None, after(2)), "1 interleaving, 2 s, 1/s");
        (progress.interleavings, progress.explored) = (90, 0.25);
        assert_eq!(
            clock.told(&progress, None, after(10)),
            "90 of about 360 interleavings, 10 s, 10/s, about 27 s left"
        );
        let due: Vec<u64> = (0..35).filter(|&seconds| clock.is_due(after(seconds))).collect();
        assert_eq!(due, [10, 20, 30]);
        // The next crash point: its search begins anew.
        assert_eq!(clock.told(&SearchProgress::default(), None, after(20)), "0 interleavings, 20 s");
        progress.interleavings = 10;
        assert_eq!(clock.told(&progress, None, after(25)), "10 of about 40 interleavings, 25 s, 2/s, about 15 s left");
    }
}
