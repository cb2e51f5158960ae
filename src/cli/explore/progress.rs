//! How an exploration tells how it goes, on standard error: a line that changes on a terminal, a line for each that is done elsewhere.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::explore::findings::{Exploration, Subject};
use crate::explore::report::view::title;
use crate::explore::search;
use crate::explore::worker_pool::ExploreObserver;

/// Shows how it goes.
#[derive(Debug)]
pub struct ExploreProgress {
    bar: Option<ProgressBar>,
}

impl ExploreProgress {
    /// Of so many explorations.
    pub fn new(explorations: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(explorations as u64), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{pos}/{len} {elapsed} {wide_msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { bar }
    }

    /// Takes it away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl ExploreObserver for ExploreProgress {
    fn progress(&self, _: usize, subject: &Subject, progress: search::SearchProgress) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!(
                "{}: {} of about {:.0} interleavings",
                title(subject),
                progress.interleavings,
                progress.estimate()
            ));
        }
    }

    fn slow_deadlocks(&self) {
        eprintln!(
            "concurrency-lab: WARNING: only a superuser may lower deadlock_timeout: each deadlock takes as long as the \
             server's, and its victim is whoever waited first"
        );
    }

    fn done(&self, _: usize, exploration: &Exploration) {
        match &self.bar {
            Some(bar) => bar.inc(1),
            None => eprintln!(
                "{}: {}, {} interleavings in {:.1} s",
                title(&exploration.subject),
                exploration.verdict,
                exploration.interleavings,
                exploration.elapsed_s
            ),
        }
    }
}
