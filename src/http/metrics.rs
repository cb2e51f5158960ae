//! `GET /metrics`, and the wrapper that counts the requests to an approach's routes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::answer::Rejection;
use super::{AppState, answer};
use crate::metrics::{ApproachIndex, Metrics, RequestEnding, exposition};
use domain::Workload;

/// `GET /metrics`: what happened, for Prometheus.
pub async fn metrics(State(app): State<Arc<AppState>>) -> Response {
    let engine = &app.engine;
    let mut response = match engine.server().metrics().exposition(engine.gauges()) {
        Some(Ok(text)) => Response::new(Body::from(text)),
        Some(Err(error)) => {
            tracing::error!(%error, "the metrics cannot be written");
            return answer::error(StatusCode::INTERNAL_SERVER_ERROR, "Internal error");
        }
        None => return off().into_response(),
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(exposition::CONTENT_TYPE));
    response
}

/// The answer of a server that counts nothing.
pub fn off() -> Rejection {
    Rejection::new(StatusCode::NOT_FOUND, "This server counts nothing: it runs with --metrics=false")
}

/// Counts requests for the owner of a route.
#[derive(Debug, Clone)]
pub struct RequestCounter {
    /// Where they are counted.
    pub metrics: Metrics,
    /// The owner of the route; `None` is the ceiling.
    pub approach: Option<ApproachIndex>,
}

impl RequestCounter {
    /// Wraps a handler so that its requests are counted, as requests of this workload.
    pub fn count<H>(&self, workload: Workload, handler: H) -> CountedHandler<H> {
        CountedHandler { handler, series: RouteSeries { counter: self.clone(), workload } }
    }
}

/// A handler whose requests are counted.
#[derive(Debug, Clone)]
pub struct CountedHandler<H> {
    handler: H,
    series: RouteSeries,
}

#[derive(Debug, Clone)]
struct RouteSeries {
    counter: RequestCounter,
    workload: Workload,
}

impl<T, S, H> Handler<T, S> for CountedHandler<H>
where
    H: Handler<T, S>,
    H::Future: Unpin,
{
    type Future = RequestInProgress<H::Future>;

    fn call(self, request: Request, state: S) -> Self::Future {
        let started = self.series.counter.metrics.are_on().then(Instant::now);
        RequestInProgress { series: self.series, started, running: false, answering: self.handler.call(request, state) }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct RequestInProgress<F> {
    series: RouteSeries,
    /// `None` once the request is counted, and if nothing is counted.
    started: Option<Instant>,
    /// Set while the handler runs, and still set after one that panicked.
    running: bool,
    answering: F,
}

impl<F: Future<Output = Response> + Unpin> Future for RequestInProgress<F> {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        self.running = true;
        let polled = Pin::new(&mut self.answering).poll(context);
        self.running = false;
        let response = ready!(polled);
        self.end(RequestEnding::of(response.status().as_u16()));
        Poll::Ready(response)
    }
}

impl<F> RequestInProgress<F> {
    fn end(&mut self, ending: RequestEnding) {
        if let Some(started) = self.started.take() {
            let RouteSeries { counter: RequestCounter { metrics, approach }, workload } = &self.series;
            metrics.request(*approach, *workload, ending, started.elapsed());
        }
    }
}

impl<F> Drop for RequestInProgress<F> {
    fn drop(&mut self) {
        // There was no answer: the handler panicked, or the client's connection was reset.
        self.end(if self.running { RequestEnding::Bug } else { RequestEnding::Abandoned });
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use super::*;

    fn counting<F>(metrics: &Metrics, answering: F) -> RequestInProgress<F> {
        let counter = RequestCounter { metrics: metrics.clone(), approach: Some(ApproachIndex(0)) };
        let series = RouteSeries { counter, workload: Workload::Balance };
        RequestInProgress { series, started: Some(Instant::now()), running: false, answering }
    }

    fn counted(metrics: &Metrics, ending: RequestEnding) -> u64 {
        metrics.requests(Some(ApproachIndex(0)), Workload::Balance, ending)
    }

    #[tokio::test]
    async fn each_request_is_counted_once_however_it_ends() {
        let metrics = Metrics::on(&["naive"]);
        counting(&metrics, std::future::ready(Response::new(Body::empty()))).await;
        assert_eq!(counted(&metrics, RequestEnding::Done), 1);

        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut pending = counting(&metrics, std::future::pending());
        assert!(Pin::new(&mut pending).poll(&mut context).is_pending());
        drop(pending);
        assert_eq!(counted(&metrics, RequestEnding::Abandoned), 1);

        // The layer that catches panics drops the future when the panic is over.
        let mut panicking = counting(&metrics, std::future::poll_fn(|_| -> Poll<Response> { panic!("on purpose") }));
        let polled =
            std::panic::catch_unwind(AssertUnwindSafe(|| Pin::new(&mut panicking).poll(&mut context).is_ready()));
        assert!(polled.is_err());
        drop(panicking);
        assert_eq!(counted(&metrics, RequestEnding::Bug), 1);
        assert_eq!(
            counted(&metrics, RequestEnding::Abandoned) + counted(&metrics, RequestEnding::Done),
            2,
            "and no other"
        );
    }
}
