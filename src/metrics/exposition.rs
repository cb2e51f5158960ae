//! The figures as text, in the format of OpenMetrics 1.0, which Prometheus reads.
//!
//! What is counted comes from [`Metrics`]; what can be asked at any time (connections, who waits) is asked when
//! somebody looks.

use std::fmt;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use strum::IntoEnumIterator as _;

use super::histogram::Histogram;
use super::{ApproachSeries, MetricOwner, MetricSeries, Metrics, RequestEnding, subjects};
use crate::engine::Engine;
use crate::strategy::Approach;
use domain::Workload;

/// What the format demands as `Content-Type`.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Stands before every name.
const PREFIX: &str = "concurrency_lab";

/// The label of the ceiling, which is no approach.
const CEILING: &str = "ceiling";

impl Metrics {
    /// The figures of the server that this engine belongs to; `None` where they are turned off.
    ///
    /// # Errors
    /// None that is known: text is written to memory.
    #[must_use]
    pub fn exposition(&self, engine: &Engine) -> Option<Result<String, fmt::Error>> {
        self.counted.as_ref()?;
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(Scrape { metrics: self.clone(), engine: engine.clone() }));
        let mut text = String::with_capacity(64 * 1024);
        Some(text::encode(&mut text, &registry).map(|()| text))
    }
}

/// One look at everything.
#[derive(Debug)]
struct Scrape {
    metrics: Metrics,
    engine: Engine,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(counted) = &self.metrics.counted {
            requests(counted, &mut encoder)?;
            retries(counted, &mut encoder)?;
            batches(&counted.batches, &mut encoder)?;
        }
        waits(&self.engine, &mut encoder)
    }
}

fn requests(counted: &MetricSeries, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    // Also those that never happened: an alert on a rate must see the first one come.
    let help = "Requests to the routes of an approach, by how they ended";
    let mut family = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
    for (labels, cell) in cells(counted) {
        ConstCounter::new(cell.read().count).encode(family.encode_family(&labels)?)?;
    }
    // Only those that happened: 18 lines each.
    let help = "Time from a request's head to its answer";
    let seconds = Unit::Seconds;
    let mut family = encoder.encode_descriptor("request_duration", help, Some(&seconds), MetricType::Histogram)?;
    for (labels, cell) in cells(counted) {
        let reading = cell.read();
        if reading.count > 0 {
            let mut cell = family.encode_family(&labels)?;
            cell.encode_histogram::<[(&str, &str); 0]>(reading.sum, reading.count, &reading.buckets, None)?;
        }
    }
    Ok(())
}

type Labels = [(&'static str, &'static str); 3];

fn cells(counted: &MetricSeries) -> impl Iterator<Item = (Labels, &Histogram)> {
    let workloads = |subject| Workload::iter().map(move |workload| (subject, workload));
    let endings = |(subject, workload)| RequestEnding::iter().map(move |ending| (subject, workload, ending));
    let series = subjects().flat_map(workloads).filter(|&(subject, workload)| has_route(subject, workload));
    series.flat_map(endings).map(|(subject, workload, ending)| {
        let labels = [
            ("approach", subject.map_or(CEILING, Approach::name)),
            ("workload", workload.into()),
            ("outcome", ending.into()),
        ];
        (labels, counted.requests_of(subject, workload, ending))
    })
}

/// The ceiling has one route only.
fn has_route(subject: MetricOwner, workload: Workload) -> bool {
    subject.is_some() || workload == Workload::Balance
}

fn retries(counted: &MetricSeries, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    type Of = fn(&ApproachSeries) -> u64;
    let families: [(&str, &str, Of); 2] = [
        ("attempts", "Attempts of operations; all but the first of each are retries", |of| {
            of.attempts.load(Ordering::Relaxed)
        }),
        ("retries_exhausted", "Operations that lost a race once too often, or for too long", |of| {
            of.exhausted.load(Ordering::Relaxed)
        }),
    ];
    for (name, help, value) in families {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (approach, of) in Approach::iter().zip(&counted.retries) {
            ConstCounter::new(value(of)).encode(family.encode_family(&[("approach", approach.name())])?)?;
        }
    }
    Ok(())
}

fn batches(batches: &Histogram, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Requests that shared one transaction of group-commit";
    let unit = Unit::Other("requests".to_owned());
    let mut batch = encoder.encode_descriptor("group_commit_batch", help, Some(&unit), MetricType::Histogram)?;
    let reading = batches.read();
    batch.encode_histogram::<[(&str, &str); 0]>(reading.sum, reading.count, &reading.buckets, None)
}

fn waits(engine: &Engine, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let database = engine.database();
    let pool = database.pool().status();
    let help = "Connections to the database that are open";
    let mut family = encoder.encode_descriptor("pool_connections", help, None, MetricType::Gauge)?;
    for (state, value) in [("in-use", pool.open.saturating_sub(pool.idle)), ("idle", pool.idle)] {
        gauge(value).encode(family.encode_family(&[("state", state)])?)?;
    }
    let gauges = [
        ("pool_connections_limit", "Connections that may be open", engine.limits().pool_size),
        ("pool_waiting_requests", "Requests that wait for a connection", pool.waiting),
        ("row_waiting_requests", "Requests that wait in the server for their row", database.admission().waiting()),
        ("mutex_waiting_requests", "Requests that wait for a mutex of in-process-mutex", database.mutexes().waiting()),
        ("batch_waiting_requests", "Requests that wait for group-commit's next batch", database.batches().waiting()),
        ("operations_in_progress", "Operations that have not ended, waited for or not", engine.in_progress()),
    ];
    for (name, help, value) in gauges {
        gauge(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
    }
    Ok(())
}

fn gauge(value: usize) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}
