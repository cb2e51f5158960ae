//! Progress on standard error: on a terminal one line that changes, elsewhere one line for each exploration that is done.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::output::tell;
use crate::explore::findings::{Exploration, Subject};
use crate::explore::report::view::title;
use crate::explore::search;
use crate::explore::worker_pool::ExploreObserver;
use crate::report::terminal::printable;

/// Shows the progress of all explorations.
#[derive(Debug)]
pub struct ExploreProgress {
    bar: Option<ProgressBar>,
}

impl ExploreProgress {
    /// The progress of this number of explorations.
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

    /// Removes the line from the terminal.
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
                printable(&title(subject)),
                progress.interleavings,
                progress.estimate()
            ));
        }
    }

    fn slow_deadlocks(&self) {
        tell(
            "concurrency-lab: WARNING: this database user may not lower deadlock_timeout, so each deadlock takes as long as \
             the server's setting, and its victim is the session that waited first; use a superuser to avoid that",
        );
    }

    fn done(&self, _: usize, exploration: &Exploration) {
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
