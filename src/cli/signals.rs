//! SIGTERM and SIGINT.

use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::output::tell;

/// The number of SIGTERM and SIGINT signals that this process has received. They are counted from the start, so that none
/// is missed while the program does other work.
#[derive(Debug, Clone)]
pub struct Interrupts(watch::Receiver<u32>);

impl Interrupts {
    /// Starts to count.
    pub fn listen() -> Self {
        let (count, counted) = watch::channel(0);
        for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
            let count = count.clone();
            match signal(kind) {
                Ok(mut signals) => drop(tokio::spawn(async move {
                    while signals.recv().await.is_some() {
                        count.send_modify(|count| *count += 1);
                    }
                })),
                Err(error) => tracing::error!(%error, "cannot handle this signal; it ends the program at once"),
            }
        }
        Self(counted)
    }

    /// Waits until this number of signals has come.
    pub async fn reach(mut self, times: u32) {
        if self.0.wait_for(|count| *count >= times).await.is_err() {
            // No signal can be received.
            std::future::pending::<()>().await;
        }
    }
}

/// Resolves when standard input ends: then the parent process has ended, in any way.
pub async fn parent_gone() {
    let mut byte = [0];
    while tokio::io::stdin().read(&mut byte).await.is_ok_and(|read| read > 0) {}
}

/// Stops the run at the first signal, and the program at the second. If the program is `attached` to a parent, the end of
/// standard input counts as the first signal.
pub async fn stop_on_signals(stop: CancellationToken, attached: bool) {
    let interrupts = Interrupts::listen();
    tokio::select! {
        () = interrupts.clone().reach(1) => {
            tell("\nconcurrency-lab: stopping, with a report of the results so far; press Ctrl-C again to stop at once");
        }
        () = parent_gone(), if attached => {}
    }
    stop.cancel();
    interrupts.reach(2).await;
    std::process::exit(130);
}
