//! Who waits for whom, now: on the server that is served, and on that of experiments.
//!
//! - [`sampler`]: looks, once a second while somebody looks at it
//! - [`tree`]: the forest of those who wait; [`known_statements`]: which statement of which approach a text is
//! - [`page`]: what is shown of it
//!
//! What is seen is drawn once, and handed to all who look through a channel that keeps the last sample only: whoever is slow misses some,
//! and keeps nobody waiting.

mod known_statements;
mod page;
mod sampler;
mod tree;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::stream::{self, Stream};
use maud::{Markup, PreEscaped, html};
use sqlx::postgres::PgConnectOptions;
use strum::IntoEnumIterator as _;
use tokio::sync::watch;

use super::Dashboard;
use super::approach::requests::host;
use super::page::{NavigationItem as InNavigation, Page};
use crate::config::THINK_TIME_MAX;
use sampler::{LockDisplay, LockSampler, SampledServer};

/// Looks at the locks for as long as somebody looks at it.
#[derive(Debug)]
pub struct LockWatch {
    served: PgConnectOptions,
    samplers: Vec<(SampledServer, Arc<LockSampler>)>,
}

impl LockWatch {
    /// Of the database that is served; where that of experiments is, the dashboard knows.
    #[must_use]
    pub fn new(served: PgConnectOptions) -> Self {
        Self {
            served,
            samplers: SampledServer::iter().map(|place| (place, Arc::new(LockSampler::new(place)))).collect(),
        }
    }
}

/// The routes.
pub fn routes() -> Router<Arc<Dashboard>> {
    Router::new().route("/lab/locks", get(shown)).route("/lab/locks/events", get(events))
}

/// The element in which a server is shown.
fn element(place: SampledServer) -> String {
    let name: &str = place.into();
    format!("locks-{name}")
}

/// `GET /lab/locks`.
async fn shown(State(dashboard): State<Arc<Dashboard>>, headers: HeaderMap) -> Response {
    let body = html! {
        p {
            "The sessions of the lab, and for whom they wait: seen once a second, on a connection of its own that no experiment can keep waiting."
        }
        p.said #locks-said role="status" {}
        @for (place, sampler) in &dashboard.watch.samplers {
            section {
                h2 { (title(*place)) }
                div id=(element(*place)) { (first(&sampler.last())) }
            }
        }
        (how_to_wait(&host(&headers)))
    };
    Page { title: "Locks now", place: Some(InNavigation::Locks), body, scripts: &["locks.js"] }.answer(&dashboard)
}

fn title(place: SampledServer) -> &'static str {
    match place {
        SampledServer::Served => "The database that is served",
        SampledServer::Experiments => "The PostgreSQL of experiments",
    }
}

fn first(shown: &LockDisplay) -> Markup {
    if shown.number == 0 {
        html! { p.soft { "Looking …" } }
    } else {
        PreEscaped(shown.html.to_string())
    }
}

/// Requests that are there at once.
const CROWD: u32 = 8;

/// Several requests for one row, each of which thinks about it while it holds the lock.
fn how_to_wait(host: &str) -> Markup {
    let command = format!(
        "for i in $(seq {CROWD}); do curl -X PATCH http://{host}/approach/pessimistic/balance \\\n  \
         -H 'lab-think-time: {}' -H 'content-type: application/json' \\\n  \
         -d '{{\"userId\":1,\"amount\":-1}}' & done",
        THINK_TIME_MAX.as_millis()
    );
    html! {
        section {
            h2 { "To see a wait" }
            p { (CROWD) " requests for one row, each of which thinks for " (THINK_TIME_MAX.as_secs()) " s while it holds the lock:" }
            pre tabindex="0" { (command) }
            p { "Or step through one in the " a href="/lab/player?approach=pessimistic&scenario=last-money&clients=2&schedule=AABB" { "player" } "." }
        }
    }
}

/// `GET /lab/locks/events`: a part for each server whenever it was looked at.
async fn events(State(dashboard): State<Arc<Dashboard>>) -> Response {
    let followed = dashboard.watch.samplers.iter().map(|(place, sampler)| {
        let mut follower = sampler.follow(&dashboard);
        // What was seen last is told first.
        follower.mark_changed();
        (*place, follower)
    });
    let following = LockStream { followed: followed.collect(), dashboard: Arc::clone(&dashboard) };
    Sse::new(told(following)).keep_alive(KeepAlive::default()).into_response()
}

struct LockStream {
    followed: Vec<(SampledServer, watch::Receiver<LockDisplay>)>,
    dashboard: Arc<Dashboard>,
}

fn told(following: LockStream) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((Ok(event), following))
    })
}

impl LockStream {
    /// What is seen next; nothing any more when the server closes. A browser then asks again, until a new one answers.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let changes = self.followed.iter_mut().map(|(place, follower)| {
                let place = *place;
                Box::pin(
                    async move { follower.changed().await.map(|()| (place, follower.borrow_and_update().clone())) },
                )
            });
            let changed = futures_util::future::select_all(changes);
            let shown = tokio::select! {
                (changed, ..) = changed => changed.ok(),
                () = self.dashboard.closing.cancelled() => None,
            };
            let (place, shown) = shown?;
            // Nothing has been seen yet.
            if shown.number > 0 {
                let id = shown.number.to_string();
                return Some(Event::default().event("part").id(id).data(format!("{}\n{}", element(place), shown.html)));
            }
        }
    }
}
