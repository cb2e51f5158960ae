//! What every page has: head, navigation, footer, and the content security policy that the browser enforces.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use maud::{DOCTYPE, Markup, html};
use strum::{EnumIter, IntoEnumIterator as _};

use crate::dashboard::model::permission::{CLOSED, ExperimentPermission};

/// Everything comes from this server, no script stands within a page, and no foreign page can embed one (clickjacking).
pub const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
);

/// An entry of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter)]
pub enum NavigationItem {
    /// The matrix of approaches and workloads.
    Overview,
    /// The experiment under way, or the last one.
    Experiment,
    /// Earlier experiments.
    Runs,
    /// The interleaving player.
    Player,
    /// Sessions that wait for locks.
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
    /// Its title and heading.
    pub title: &'a str,
    /// Its entry of the navigation, if it has one.
    pub item: Option<NavigationItem>,
    /// The content below the heading.
    pub body: Markup,
    /// Its scripts, by their names under `/lab/assets`.
    pub scripts: &'a [&'a str],
}

impl Page<'_> {
    /// The page as an answer.
    #[must_use]
    pub fn answer(self, permission: &ExperimentPermission) -> Response {
        self.answer_with(StatusCode::OK, permission)
    }

    /// The page as an answer with another status.
    #[must_use]
    pub fn answer_with(self, status: StatusCode, permission: &ExperimentPermission) -> Response {
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
                    (navigation(self.item))
                    main #content {
                        h1 { (self.title) }
                        (self.body)
                    }
                    (foot(permission))
                }
            }
        };
        text_answer(status, "text/html; charset=utf-8", page.into_string())
    }
}

/// The answer for a page that does not exist.
#[must_use]
pub fn missing(permission: &ExperimentPermission, what: &str) -> Response {
    let body = html! { p { (what) } p { a href="/" { "Go to the overview" } } };
    Page { title: "Not found", item: None, body, scripts: &[] }.answer_with(StatusCode::NOT_FOUND, permission)
}

/// Text for a browser, under the [`POLICY`]. It is not cached, because pages show the present state.
fn text_answer(status: StatusCode, content_type: &'static str, text: String) -> Response {
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
                @for item in NavigationItem::iter() {
                    @let (path, name) = item.link();
                    a href=(path) aria-current=[(here == Some(item)).then_some("page")] { (name) }
                }
            }
        }
    }
}

fn foot(permission: &ExperimentPermission) -> Markup {
    html! {
        footer {
            @match permission {
                ExperimentPermission::Open => {}
                ExperimentPermission::Token(_) => {
                    label { "Admin token " input #token type="password" autocomplete="off" size="18"; }
                    span.soft { " Required to start or stop experiments. This tab keeps it until it is closed." }
                }
                ExperimentPermission::Closed => { p.warning role="note" { (CLOSED) "." } }
            }
            p.soft {
                "concurrency-lab " (env!("CARGO_PKG_VERSION")) " · " a href="/docs" { "HTTP interface" } " · "
                a href="/metrics" { "Metrics (Prometheus)" }
            }
        }
    }
}
