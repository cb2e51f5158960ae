//! `GET /lab/locks`: the sessions that wait for locks, on the database that is served and on that of experiments, and their live updates.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, Stream};
use maud::{Markup, PreEscaped, html};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::THINK_TIME_MAX;
use crate::dashboard::model::lock_sample::{LockReading, SampledServer};
use crate::dashboard::model::permission::ExperimentPermission;
use crate::dashboard::service::lock_sampler::LockWatch;
use crate::dashboard::view::frame::{NavigationItem, Page};
use crate::dashboard::view::links;
use crate::dashboard::view::lock_view::LockMarkup;

/// The id of the element that shows a server.
fn element(server: SampledServer) -> String {
    let name: &str = server.into();
    format!("locks-{name}")
}

/// `GET /lab/locks`.
pub async fn page(
    State(permission): State<ExperimentPermission>,
    State(watch): State<LockWatch>,
    State(markup): State<LockMarkup>,
    headers: HeaderMap,
) -> Response {
    let body = html! {
        p {
            "The lab's database sessions, and which session waits for which. The server reads them once a second while this page is open, on a \
             separate connection that waits for no lock."
        }
        p.message #locks-message role="status" {}
        @for (server, reading) in watch.last() {
            section {
                h2 { (title(server)) }
                div id=(element(server)) { (PreEscaped(markup.get(server, &reading).as_str())) }
            }
        }
        (how_to_cause_a_wait(&links::host(&headers)))
    };
    Page { title: "Locks now", item: Some(NavigationItem::Locks), body, scripts: &["locks.js"] }.answer(&permission)
}

fn title(server: SampledServer) -> &'static str {
    match server {
        SampledServer::Served => "Served database",
        SampledServer::Experiments => "PostgreSQL of experiments and the player",
    }
}

/// Requests of the example.
const REQUESTS: u32 = 8;

/// A command that makes several requests wait for one row.
fn how_to_cause_a_wait(host: &str) -> Markup {
    let command = format!(
        "for i in $(seq {REQUESTS}); do curl -X PATCH http://{host}/approach/pessimistic/balance \\\n  \
         -H 'lab-think-time: {}' -H 'content-type: application/json' \\\n  \
         -d '{{\"userId\":1,\"amount\":-1}}' & done",
        THINK_TIME_MAX.as_millis()
    );
    html! {
        section {
            h2 { "How to cause a wait" }
            p {
                "This command sends " (REQUESTS) " requests for one row. Each of them pauses for " (THINK_TIME_MAX.as_secs()) " s while it holds the \
                 row's lock:"
            }
            pre tabindex="0" { (command) }
            p {
                "Or step through a wait in the "
                a href="/lab/player?approach=pessimistic&scenario=last-money&clients=2&schedule=AABB" { "player" } "."
            }
        }
    }
}

/// `GET /lab/locks/events`: the markup of a server after each sample.
pub async fn events(State(watch): State<LockWatch>, State(markup): State<LockMarkup>) -> Response {
    let mut readings = watch.follow();
    // The newest reading is sent at once.
    for (_, receiver) in &mut readings {
        receiver.mark_changed();
    }
    let stream = LockStream { readings, markup, closing: watch.closing().clone() };
    Sse::new(stream_of(stream)).keep_alive(KeepAlive::default()).into_response()
}

struct LockStream {
    readings: Vec<(SampledServer, watch::Receiver<Arc<LockReading>>)>,
    markup: LockMarkup,
    closing: CancellationToken,
}

fn stream_of(stream: LockStream) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(stream, |mut stream| async move {
        let event = stream.next().await?;
        Some((Ok(event), stream))
    })
}

impl LockStream {
    /// The next event; `None` when the server closes. The browser then reconnects until a server answers.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let changes = self.readings.iter_mut().map(|(server, receiver)| {
                let server = *server;
                Box::pin(async move {
                    receiver.changed().await.map(|()| (server, Arc::clone(&receiver.borrow_and_update())))
                })
            });
            let changed = futures_util::future::select_all(changes);
            let next = tokio::select! {
                (changed, ..) = changed => changed.ok(),
                () = self.closing.cancelled() => None,
            };
            let (server, reading) = next?;
            // 0: there is no sample yet.
            if reading.number > 0 {
                let html = self.markup.get(server, &reading);
                let id = reading.number.to_string();
                return Some(Event::default().event("part").id(id).data(format!("{}\n{html}", element(server))));
            }
        }
    }
}
