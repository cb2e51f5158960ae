//! SIGTERM and SIGINT.

use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often this process was told to stop, by SIGTERM or SIGINT: counted from the start, so that none is missed that comes
/// while nobody waits for it.
#[derive(Debug, Clone)]
pub struct Interrupts(watch::Receiver<u32>);

impl Interrupts {
    /// Counts from now on.
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
                Err(error) => tracing::error!(%error, "cannot listen for signals"),
            }
        }
        Self(counted)
    }

    /// Waits until it was told so often.
    pub async fn reach(mut self, times: u32) {
        if self.0.wait_for(|count| *count >= times).await.is_err() {
            // No signal can be heard of.
            std::future::pending::<()>().await;
        }
    }
}

/// Resolves when standard input ends: whoever started this process for itself is gone, however it went.
pub async fn parent_gone() {
    let mut byte = [0];
    while tokio::io::stdin().read(&mut byte).await.is_ok_and(|read| read > 0) {}
}

/// Ends the run at the first signal, and the program at the second. Of an `attached` one, the end of standard input is such a signal.
pub async fn stop_on_signals(stop: CancellationToken, attached: bool) {
    let interrupts = Interrupts::listen();
    tokio::select! {
        () = interrupts.clone().reach(1) => {
            eprintln!("\nconcurrency-lab: ending with what there is; once more ends at once");
        }
        () = parent_gone(), if attached => {}
    }
    stop.cancel();
    interrupts.reach(2).await;
    std::process::exit(130);
}
