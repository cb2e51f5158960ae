//! The parts of a snapshot as server-sent events.
//!
//! A viewer is sent the newest snapshot, unless it is the one that it has received last; a browser that reconnects reports that one by
//! `Last-Event-ID`. Nothing is queued: a slow viewer receives fewer states, and always the newest. Only the last event of a state carries the
//! state's id, so a state that was cut off half-way counts as not received.

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

use crate::dashboard::model::snapshot::Snapshot;
use crate::dashboard::service::experiment_slot::ExperimentSlot;
use crate::dashboard::view::snapshot_parts::{self, PARTS, SnapshotMarkup};

/// A viewer is sent a state at most so often. A browser that draws three charts takes processor time from the run if it is on the same machine
/// (`make bench-dashboard`).
const PERIOD: Duration = Duration::from_secs(1);

/// How often a comment is sent while nothing changes, so that no proxy closes the connection as idle.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a browser waits before it reconnects.
const RETRY: Duration = Duration::from_secs(1);

/// `GET /lab/experiment/events`.
pub async fn events(
    State(slot): State<ExperimentSlot>,
    State(markup): State<SnapshotMarkup>,
    headers: HeaderMap,
) -> Response {
    let received = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let viewer = Viewer {
        snapshots: slot.watch(),
        closing: slot.closing(),
        markup,
        first: true,
        received,
        sent: std::array::from_fn(|_| None),
    };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("no change");
    let mut response = Sse::new(states(viewer)).keep_alive(keep_alive).into_response();
    // Tells a proxy not to buffer, which would delay the updates.
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    response
}

struct Viewer {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    closing: CancellationToken,
    markup: SnapshotMarkup,
    first: bool,
    /// The id of the state that it has received last.
    received: Option<String>,
    /// The parts that it was sent last.
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
                    tokio::time::sleep(PERIOD).await;
                    self.snapshots.changed().await
                };
                tokio::select! {
                    changed = changed => changed.ok()?,
                    () = closing.cancelled() => return None,
                }
            }
            let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
            let id = snapshot.version.to_string();
            if self.received.as_ref() == Some(&id) {
                continue;
            }
            let events = self.events(&snapshot, &id);
            self.received = Some(id);
            return Some(events);
        }
    }

    /// The parts that differ from those sent last.
    fn events(&mut self, snapshot: &Snapshot, id: &str) -> Vec<Result<Event, Infallible>> {
        let mut events = Vec::new();
        let parts = snapshot_parts::parts(snapshot, &self.markup);
        for ((name, part), sent) in parts.with_ids().into_iter().zip(&mut self.sent) {
            let part: Arc<str> = Arc::clone(part.shared());
            if sent.as_ref() != Some(&part) {
                events.push(Event::default().event("part").data(format!("{name}\n{part}")));
                *sent = Some(part);
            }
        }
        // The state's id is sent even if no part has changed.
        events.push(Event::default().event("state").id(id).retry(RETRY).data(id));
        events.into_iter().map(Ok).collect()
    }
}
