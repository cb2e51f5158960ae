//! What all pages have: the head, the way from one to another, the policy that a browser enforces.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use maud::{DOCTYPE, Markup, html};
use strum::{EnumIter, IntoEnumIterator as _};

use super::Dashboard;
use super::permission::{ExperimentPermission, NOBODY};

/// Everything from here, no script within a page, and no page of ours within another's, where a click could be stolen.
pub const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
);

/// A place in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter)]
pub enum NavigationItem {
    /// The matrix.
    Overview,
    /// The experiment under way, or the last one.
    Experiment,
    /// What was found earlier.
    Runs,
    /// The interleaving player.
    Player,
    /// Who waits for whom.
    Locks,
}

impl NavigationItem {
    fn link(self) -> (&'static str, &'static str) {
        match self {
            Self::Overview => ("/", "Overview"),
            Self::Experiment => ("/lab/experiment", "Live"),
            Self::Runs => ("/lab/runs", "Runs"),
            Self::Player => ("/lab/player", "Interleavings"),
            Self::Locks => ("/lab/locks", "Locks now"),
        }
    }
}

/// A page.
#[derive(Debug)]
pub struct Page<'a> {
    /// What it is called, as heading too.
    pub title: &'a str,
    /// Where in the navigation it is; `None` for what is below none of it.
    pub place: Option<NavigationItem>,
    /// Below the heading.
    pub body: Markup,
    /// The scripts that it needs, by their names in [`super::assets`].
    pub scripts: &'a [&'a str],
}

impl Page<'_> {
    /// The answer that carries it.
    #[must_use]
    pub fn answer(self, dashboard: &Dashboard) -> Response {
        self.answer_with(StatusCode::OK, dashboard)
    }

    /// The same, with another status.
    #[must_use]
    pub fn answer_with(self, status: StatusCode, dashboard: &Dashboard) -> Response {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · concurrency-lab" }
                    link rel="stylesheet" href="/lab/assets/lab.css";
                    link rel="icon" type="image/svg+xml" href="/lab/assets/icon.svg";
                    @for script in self.scripts { script type="module" src={ "/lab/assets/" (script) } {} }
                }
                body {
                    a.skip href="#content" { "Skip to the content" }
                    (navigation(self.place))
                    main #content {
                        h1 { (self.title) }
                        (self.body)
                    }
                    (foot(dashboard))
                }
            }
        };
        shown(status, "text/html; charset=utf-8", page.into_string())
    }
}

/// A page that is not there.
#[must_use]
pub fn missing(dashboard: &Dashboard, what: &str) -> Response {
    let body = html! { p { (what) } p { a href="/" { "Overview" } } };
    Page { title: "Not found", place: None, body, scripts: &[] }.answer_with(StatusCode::NOT_FOUND, dashboard)
}

/// `GET` of anything else under [`super::PREFIX`].
pub async fn unknown(State(dashboard): State<Arc<Dashboard>>, uri: Uri) -> Response {
    missing(&dashboard, &format!("There is no page {}.", uri.path()))
}

/// Text for a browser, under the [`POLICY`]; never kept, as what is shown is now.
#[must_use]
pub fn shown(status: StatusCode, content_type: &'static str, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("same-origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn navigation(here: Option<NavigationItem>) -> Markup {
    html! {
        header.bar {
            a.brand href="/" { "concurrency-lab" }
            nav aria-label="Pages" {
                @for place in NavigationItem::iter() {
                    @let (path, name) = place.link();
                    a href=(path) aria-current=[(here == Some(place)).then_some("page")] { (name) }
                }
            }
        }
    }
}

fn foot(dashboard: &Dashboard) -> Markup {
    html! {
        footer {
            @match dashboard.permission {
                ExperimentPermission::Everybody => {}
                ExperimentPermission::Token(_) => {
                    label { "Admin token " input #token type="password" autocomplete="off" size="18"; }
                    span.soft { " Needed to start or stop experiments; kept in this tab only." }
                }
                ExperimentPermission::Nobody => { p.warning role="note" { (NOBODY) "." } }
            }
            p.soft {
                "concurrency-lab " (env!("CARGO_PKG_VERSION")) " · " a href="/docs" { "HTTP interface" } " · "
                a href="/metrics" { "Metrics" }
            }
        }
    }
}
