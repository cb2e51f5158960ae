//! The figures as text, in the format of OpenMetrics 1.0, which Prometheus reads.
//!
//! [`Metrics`] holds what is counted. What can be read at any time (connections, waiting requests) is handed in as
//! [`Gauges`] when the text is written.

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
use super::{ApproachSeries, MetricSeries, Metrics, RequestEnding, RouteOwner};
use domain::Workload;

/// The `Content-Type` of the format.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The prefix of every name.
const PREFIX: &str = "concurrency_lab";

/// The label of the ceiling, which is not an approach.
const CEILING: &str = "ceiling";

/// Figures that are not counted but read at the moment of the exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauges {
    /// Connections to the database that are open.
    pub pool_open: usize,
    /// Open connections that are not in use.
    pub pool_idle: usize,
    /// Connections that may be open.
    pub pool_limit: usize,
    /// Requests that wait for a connection.
    pub pool_waiting: usize,
    /// Requests that wait for their row in the server.
    pub row_waiting: usize,
    /// Requests that wait for a keyed mutex.
    pub mutex_waiting: usize,
    /// Requests that wait for the next batch.
    pub batch_waiting: usize,
    /// Operations that have not ended, whether or not a client waits for them.
    pub operations_in_progress: usize,
}

impl Metrics {
    /// The figures as text, with these gauges; `None` if counting is off.
    ///
    /// # Errors
    /// None is known: the text is written to memory.
    #[must_use]
    pub fn exposition(&self, gauges: Gauges) -> Option<Result<String, fmt::Error>> {
        self.counted.as_ref()?;
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(Scrape { metrics: self.clone(), gauges }));
        let mut text = String::with_capacity(64 * 1024);
        Some(text::encode(&mut text, &registry).map(|()| text))
    }
}

/// The figures at one moment.
#[derive(Debug)]
struct Scrape {
    metrics: Metrics,
    gauges: Gauges,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(counted) = &self.metrics.counted {
            requests(counted, &mut encoder)?;
            retries(counted, &mut encoder)?;
            batches(&counted.batches, &mut encoder)?;
        }
        waits(&self.gauges, &mut encoder)
    }
}

fn requests(counted: &MetricSeries, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    // Also series at 0: an alert on a rate must see the step from 0 to 1.
    let help = "Requests to the routes of an approach, by how they ended";
    let mut family = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
    for (labels, cell) in cells(counted) {
        ConstCounter::new(cell.read().count).encode(family.encode_family(&labels)?)?;
    }
    // Without series at 0: each has 18 lines.
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
    let workloads = |owner| Workload::iter().map(move |workload| (owner, workload));
    let endings = |(owner, workload)| RequestEnding::iter().map(move |ending| (owner, workload, ending));
    let series = counted.owners().flat_map(workloads).filter(|&(owner, workload)| has_route(owner, workload));
    series.flat_map(endings).map(|(owner, workload, ending)| {
        let labels = [
            ("approach", owner.map_or(CEILING, |approach| counted.approaches[approach.0])),
            ("workload", workload.into()),
            ("outcome", ending.into()),
        ];
        (labels, counted.requests_of(owner, workload, ending))
    })
}

/// The ceiling has one route only.
fn has_route(owner: RouteOwner, workload: Workload) -> bool {
    owner.is_some() || workload == Workload::Balance
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
        for (approach, of) in counted.approaches.iter().zip(&counted.retries) {
            ConstCounter::new(value(of)).encode(family.encode_family(&[("approach", *approach)])?)?;
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

fn waits(gauges: &Gauges, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Connections to the database that are open";
    let mut family = encoder.encode_descriptor("pool_connections", help, None, MetricType::Gauge)?;
    for (state, value) in [("in-use", gauges.pool_open.saturating_sub(gauges.pool_idle)), ("idle", gauges.pool_idle)] {
        gauge(value).encode(family.encode_family(&[("state", state)])?)?;
    }
    let gauges = [
        ("pool_connections_limit", "Connections that may be open", gauges.pool_limit),
        ("pool_waiting_requests", "Requests that wait for a connection", gauges.pool_waiting),
        ("row_waiting_requests", "Requests that wait in the server for their row", gauges.row_waiting),
        ("mutex_waiting_requests", "Requests that wait for a mutex of in-process-mutex", gauges.mutex_waiting),
        ("batch_waiting_requests", "Requests that wait for group-commit's next batch", gauges.batch_waiting),
        (
            "operations_in_progress",
            "Operations that have not ended, whether or not a client waits for them",
            gauges.operations_in_progress,
        ),
    ];
    for (name, help, value) in gauges {
        gauge(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
    }
    Ok(())
}

fn gauge(value: usize) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}
