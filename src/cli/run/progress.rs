//! The progress of a run: a bar on a terminal, otherwise a line for each round. It goes to standard error, so that standard output
//! has only the report.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::task::AbortOnDropHandle;

use crate::cli::output::tell;
use crate::lab::experiment::RunObserver;
use crate::lab::plan::RunConditions;
use crate::lab::results::Round;
use crate::report::printable::printable;
use referee::history::RoundTitle;

/// How often the bar moves.
const TICK: Duration = Duration::from_millis(100);

/// Shows the progress of a run.
#[derive(Debug)]
pub struct RunProgress {
    terminal: bool,
    bar: Mutex<Option<(ProgressBar, AbortOnDropHandle<()>)>>,
}

impl RunProgress {
    /// A bar if standard error is a terminal.
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), bar: Mutex::new(None) }
    }

    fn replace(&self, next: Option<(ProgressBar, AbortOnDropHandle<()>)>) {
        let last = std::mem::replace(&mut *self.bar.lock().unwrap_or_else(PoisonError::into_inner), next);
        if let Some((bar, _)) = last {
            bar.finish_and_clear();
        }
    }
}

/// The name of a round.
fn name(title: &RoundTitle) -> String {
    let point = title.point.as_ref().map(|point| format!(" {point}")).unwrap_or_default();
    printable(&format!("{}{point} #{}", title.approach, title.round))
}

impl RunObserver for RunProgress {
    fn begins(&self, title: &RoundTitle, conditions: &RunConditions, answered: &Arc<AtomicU64>) {
        if !self.terminal {
            return;
        }
        // By time, if the duration decides.
        let (length, template) = match (conditions.requests, conditions.duration) {
            (Some(requests), _) => (requests, "{msg:>32} {bar:30} {pos}/{len} {elapsed}"),
            (None, duration) => {
                let ms = duration.unwrap_or_default().as_millis();
                (u64::try_from(ms).unwrap_or(u64::MAX), "{msg:>32} {bar:30} {elapsed}")
            }
        };
        let bar = ProgressBar::new(length);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(name(title));
        let (moving, answered, by_number) = (bar.clone(), Arc::clone(answered), conditions.requests.is_some());
        let began = Instant::now();
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(TICK);
            loop {
                tick.tick().await;
                let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                moving.set_position(if by_number { answered.load(Ordering::Relaxed) } else { elapsed_ms });
            }
        });
        self.replace(Some((bar, AbortOnDropHandle::new(task))));
    }

    fn ends(&self, title: &RoundTitle, round: &Round) {
        self.replace(None);
        if !self.terminal {
            let Round { verdict, elapsed_s, rate_per_s, .. } = round;
            tell(&format!("{}: {verdict}, {rate_per_s:.0} answers/s in {elapsed_s:.1} s", name(title)));
        }
    }
}
