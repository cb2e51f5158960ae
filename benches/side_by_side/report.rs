//! The report, as Markdown.

use std::fmt::Write as _;

use concurrency_lab::strategy::{Approach, Claim};

use crate::points::{Load, PGBENCH_CLIENTS, Point, PoolKind, Setup, WITH_EVERY_POOL};
use crate::results::{Results, Spread};

/// What stands in a cell that has no number.
const NOTHING: &str = "–";

/// A ratio that is hoped for.
struct Goal {
    what: String,
    point: Point,
    reference: Option<Point>,
    least: f64,
}

/// The whole report.
pub fn markdown(conditions: &[(&'static str, String)], approaches: &[Approach], results: &Results) -> String {
    let mut text = "# Side by side\n\n".to_owned();
    for (label, value) in conditions {
        line(&mut text, &format!("- {label}: {value}"));
    }
    for load in Load::ALL {
        text.push_str(&over_http(load, approaches, results));
    }
    text.push_str(&http_alone(results));
    text.push_str(&pgbench(approaches, results));
    text.push_str(&pools(results));
    text.push_str(&goals(results));
    text
}

/// A whole number with its thousands apart.
pub fn count(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::with_capacity(digits.len() + 4);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn over_http(load: Load, approaches: &[Approach], results: &Results) -> String {
    let header =
        ["approach", "server", "requests/s", "min … max", "/ ceiling", "pgbench's best (clients)", "/ pgbench"];
    let mut table = Table::new(&format!("Over HTTP, {load}"), &header);
    for &approach in approaches {
        for setup in Setup::ALL {
            let point = Point::Approach { setup, approach, load };
            let Some(rate) = results.rate(point) else { continue };
            let best = results.best_pgbench(approach, load);
            let best_rate = best.and_then(|(clients, best)| Some((clients, results.rate(best)?)));
            table.row([
                label(approach),
                setup.to_string(),
                count(rate.median),
                min_max(rate),
                ratio(results.ratio(point, Point::Ceiling)),
                best_rate.map_or(NOTHING.to_owned(), |(clients, rate)| format!("{} ({clients})", count(rate.median))),
                ratio(best.and_then(|(_, best)| results.ratio(point, best))),
            ]);
        }
    }
    if let Some(rate) = results.rate(Point::Disk).filter(|_| load == Load::Hot) {
        line(
            &mut table.text,
            &format!("\nThe disk alone makes {} writes/s durable [{}].", count(rate.median), min_max(rate)),
        );
    }
    table.text
}

fn http_alone(results: &Results) -> String {
    let mut table = Table::new("HTTP alone", &["server", "requests/s", "min … max", "/ bare axum"]);
    for point in [Point::Ceiling, Point::BareAxum] {
        let Some(rate) = results.rate(point) else { continue };
        let by_bare = ratio(results.ratio(point, Point::BareAxum));
        table.row([point.to_string(), count(rate.median), min_max(rate), by_bare]);
    }
    table.text
}

fn pgbench(approaches: &[Approach], results: &Results) -> String {
    let clients = PGBENCH_CLIENTS.map(|clients| format!("{clients} clients"));
    let header: Vec<&str> = ["statements of", "rows"].into_iter().chain(clients.iter().map(String::as_str)).collect();
    let mut table = Table::new("pgbench alone, changes/s [min … max]", &header);
    for load in Load::ALL {
        for &approach in approaches {
            let rates = PGBENCH_CLIENTS.map(|clients| results.rate(Point::Pgbench { approach, load, clients }));
            if rates.iter().all(Option::is_none) {
                continue;
            }
            let cell = |rate: Spread| format!("{} [{}]", count(rate.median), min_max(rate));
            let rates = rates.into_iter().map(|rate| rate.map_or(NOTHING.to_owned(), cell));
            table.row([label(approach), load.to_string()].into_iter().chain(rates));
        }
    }
    table.text
}

fn pools(results: &Results) -> String {
    let mut table =
        Table::new("Pools in one process, one UPDATE on 1000 rows", &["pool", "changes/s", "min … max", "/ sqlx's"]);
    for kind in [PoolKind::Ours, PoolKind::Sqlx] {
        let Some(rate) = results.rate(Point::Pool(kind)) else { continue };
        let by_sqlx = ratio(results.ratio(Point::Pool(kind), Point::Pool(PoolKind::Sqlx)));
        table.row([kind.to_string(), count(rate.median), min_max(rate), by_sqlx]);
    }
    table.text
}

fn goals(results: &Results) -> String {
    let mut table = Table::new("Goals", &["goal", "at least", "measured", "min … max", ""]);
    for Goal { what, point, reference, least } in wanted(results) {
        let Some(measured) = reference.and_then(|reference| results.ratio(point, reference)) else { continue };
        table.row([
            what,
            format!("{least:.2}"),
            format!("{:.2}", measured.median),
            format!("{:.2} … {:.2}", measured.min, measured.max),
            if measured.median >= least { "met" } else { "missed" }.to_owned(),
        ]);
    }
    table.text
}

fn wanted(results: &Results) -> Vec<Goal> {
    let http = |setup, approach, load| Point::Approach { setup, approach, load };
    let pgbench = |approach| Some(Point::Pgbench { approach, load: Load::Cold, clients: 32 });
    let goal = |what: &str, point, reference, least| Goal { what: what.to_owned(), point, reference, least };
    let best_hot = results.best_pgbench(Approach::AtomicReturning, Load::Hot).map(|(_, best)| best);
    let small_hot = http(Setup::SmallPool, Approach::AtomicReturning, Load::Hot);
    let mut goals = vec![goal("hot row, pool 4: atomic-returning / pgbench's best", small_hot, best_hot, 1.0)];
    for approach in WITH_EVERY_POOL {
        let what = format!("1000 rows: {approach} / pgbench, 32 clients");
        goals.push(goal(&what, http(Setup::Default, approach, Load::Cold), pgbench(approach), 0.7));
    }
    goals.push(goal("/ceiling/balance / bare axum", Point::Ceiling, Some(Point::BareAxum), 0.9));
    for approach in WITH_EVERY_POOL {
        let on = |setup| http(setup, approach, Load::Hot);
        let small = format!("hot row, {approach}: {} / {}", Setup::SmallPool, Setup::NoRowLimit);
        goals.push(goal(&small, on(Setup::SmallPool), Some(on(Setup::NoRowLimit)), 1.0));
        let limited = format!("hot row, {approach}: {} / {}", Setup::Default, Setup::SmallPool);
        goals.push(goal(&limited, on(Setup::Default), Some(on(Setup::SmallPool)), 0.9));
    }
    let [ours, sqlx] = [PoolKind::Ours, PoolKind::Sqlx].map(Point::Pool);
    goals.push(goal("our pool / sqlx's pool", ours, Some(sqlx), 1.0));
    goals
}

/// A broken approach is measured like the others and must not be taken for one of them.
fn label(approach: Approach) -> String {
    if approach.card().claims.balance == Claim::Broken { format!("{approach} (broken)") } else { approach.to_string() }
}

fn ratio(ratio: Option<Spread>) -> String {
    ratio.map_or(NOTHING.to_owned(), |ratio| format!("{:.2}", ratio.median))
}

fn min_max(spread: Spread) -> String {
    format!("{} … {}", count(spread.min), count(spread.max))
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}

struct Table {
    text: String,
}

impl Table {
    fn new(title: &str, header: &[&str]) -> Self {
        let mut text = format!("\n## {title}\n\n");
        line(&mut text, &format!("| {} |", header.join(" | ")));
        line(&mut text, &format!("|{}", "---|".repeat(header.len())));
        Self { text }
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        line(&mut self.text, &format!("| {} |", cells.join(" | ")));
    }
}
