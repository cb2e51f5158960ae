//! A snapshot's pieces as server-sent events.
//!
//! The newest snapshot is sent when it is not the one that the viewer has seen last, which its browser tells by the id of the last event
//! when it comes back. Nothing is queued for anybody: who is slow sees fewer states, and always the newest. Only the last piece of a state
//! has its id, so that a state that was cut off half-way does not count as seen.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::parts::PARTS;
use super::snapshot::Snapshot;
use crate::dashboard::Dashboard;

/// A viewer is sent the newest state at most so often: a browser that draws three charts takes some of the machine that is measured, if it is the same
/// one (`make bench-dashboard`).
const EVERY: Duration = Duration::from_secs(1);

/// How often something is sent although nothing happens, so that nobody on the way takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a browser waits before it comes back.
const RETRY: Duration = Duration::from_secs(1);

/// `GET /lab/experiment/events`.
pub async fn events(State(dashboard): State<Arc<Dashboard>>, headers: HeaderMap) -> Response {
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let viewer = Viewer {
        watched: dashboard.bench.watch(),
        closing: dashboard.closing.clone(),
        first: true,
        seen,
        sent: std::array::from_fn(|_| None),
    };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("nothing new");
    let mut response = Sse::new(states(viewer)).keep_alive(keep_alive).into_response();
    // A proxy that collects before it passes on would make live what is over.
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    response
}

struct Viewer {
    watched: watch::Receiver<Arc<Snapshot>>,
    closing: CancellationToken,
    first: bool,
    /// The state that it has seen last.
    seen: Option<String>,
    /// The pieces that it was sent last.
    sent: [Option<Arc<str>>; PARTS],
}

fn states(viewer: Viewer) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(viewer, async |mut viewer| Some((viewer.next().await?, viewer))).flat_map(stream::iter)
}

impl Viewer {
    /// The events of the next state; `None` when the server closes.
    async fn next(&mut self) -> Option<Vec<Result<Event, Infallible>>> {
        loop {
            if !std::mem::take(&mut self.first) {
                let closing = self.closing.clone();
                let changed = async {
                    tokio::time::sleep(EVERY).await;
                    self.watched.changed().await
                };
                tokio::select! {
                    changed = changed => changed.ok()?,
                    () = closing.cancelled() => return None,
                }
            }
            let snapshot = Arc::clone(&self.watched.borrow_and_update());
            let id = snapshot.version.to_string();
            if self.seen.as_ref() == Some(&id) {
                continue;
            }
            let events = self.events(&snapshot, &id);
            self.seen = Some(id);
            return Some(events);
        }
    }

    /// The pieces that are not as they were sent.
    fn events(&mut self, snapshot: &Snapshot, id: &str) -> Vec<Result<Event, Infallible>> {
        let mut events = Vec::new();
        for ((name, part), sent) in snapshot.parts().with_ids().into_iter().zip(&mut self.sent) {
            let part: Arc<str> = Arc::clone(part.shared());
            if sent.as_ref() != Some(&part) {
                events.push(Event::default().event("part").data(format!("{name}\n{part}")));
                *sent = Some(part);
            }
        }
        // Without a piece there is still the state's id to tell.
        events.push(Event::default().event("state").id(id).retry(RETRY).data(id));
        events.into_iter().map(Ok).collect()
    }
}
