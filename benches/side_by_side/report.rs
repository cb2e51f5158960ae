//! The report, as Markdown.

use std::fmt::Write as _;

use concurrency_lab::strategy::{Approach, Claim};

use crate::goals::{self, Bound};
use crate::groups::{GROUP_COMMIT_CONNECTIONS, Group, WITH_EVERY_POOL, fastest, group_commit};
use crate::points::{CONNECTIONS, Load, PGBENCH_CLIENTS, Point, PoolKind, Setup};
use crate::results::{Results, Spread};

/// The text of a cell without a number.
const NOTHING: &str = "–";

/// The whole report.
pub fn markdown(conditions: &[(&'static str, String)], approaches: &[Approach], results: &Results) -> String {
    let mut text = "# Side by side\n\n".to_owned();
    for (label, value) in conditions {
        line(&mut text, &format!("- {label}: {value}"));
    }
    for load in Load::OF_ALL {
        text.push_str(&over_http(load, approaches, results));
    }
    text.push_str(&http_alone(results));
    text.push_str(&metrics(results));
    text.push_str(&groups(results));
    text.push_str(&pgbench(approaches, results));
    text.push_str(&pools(results));
    text.push_str(&goals(results));
    text
}

/// A whole number with separated thousands.
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
    let header = [
        "approach",
        "server",
        "requests/s",
        "min … max",
        "p99 in ms",
        "/ ceiling",
        "pgbench's best (clients)",
        "/ pgbench",
    ];
    let mut table = Table::new(&format!("Over HTTP, {load}"), &header);
    for &approach in approaches {
        let group = Group::Approach(approach, load);
        for setup in Setup::POOLS {
            let key = (group, Point::http(setup, approach, load));
            let Some(rate) = results.rate(key) else { continue };
            let best = results.best_pgbench(group, approach, load);
            let best_rate = best.and_then(|(clients, best)| Some((clients, results.rate(best)?)));
            table.row([
                label(approach),
                setup.to_string(),
                count(rate.median),
                min_max(rate),
                results.p99_ms(key).map_or(NOTHING.to_owned(), |p99| format!("{:.1}", p99.median)),
                ratio(results.ratio(key, (Group::Http, Point::ceiling()))),
                best_rate.map_or(NOTHING.to_owned(), |(clients, rate)| format!("{} ({clients})", count(rate.median))),
                ratio(best.and_then(|(_, best)| results.ratio(key, best))),
            ]);
        }
    }
    if let Some(rate) = results.rate((Group::Approach(WITH_EVERY_POOL[0], load), Point::Disk)) {
        line(
            &mut table.text,
            &format!("\nThe disk alone makes {} writes/s durable [{}].", count(rate.median), min_max(rate)),
        );
    }
    table.text
}

fn http_alone(results: &Results) -> String {
    let mut table = Table::new("HTTP alone", &["server", "requests/s", "min … max", "/ bare axum"]);
    for point in [Point::ceiling(), Point::BareAxum, Point::Generator] {
        let Some(rate) = results.rate((Group::Http, point)) else { continue };
        let by_bare = ratio(results.ratio((Group::Http, point), (Group::Http, Point::BareAxum)));
        table.row([point.to_string(), count(rate.median), min_max(rate), by_bare]);
    }
    table.text
}

/// The same server with and without metrics.
fn metrics(results: &Results) -> String {
    type Of = fn(Setup) -> Point;
    let mut table = Table::new("Metrics", &["route", "server", "requests/s", "min … max", "/ without"]);
    let routes: [(String, Of); 2] = [
        ("/ceiling/balance".to_owned(), |setup| Point::Ceiling { setup, connections: CONNECTIONS }),
        (format!("{}, 1000 rows", fastest()), |setup| Point::http(setup, fastest(), Load::Cold)),
    ];
    for (route, point) in routes {
        for setup in [Setup::Default, Setup::NoMetrics] {
            let key = (Group::Metrics, point(setup));
            let Some(rate) = results.rate(key) else { continue };
            let by_without = ratio(results.ratio(key, (Group::Metrics, point(Setup::NoMetrics))));
            table.row([route.clone(), setup.to_string(), count(rate.median), min_max(rate), by_without]);
        }
    }
    table.text
}

fn pgbench(approaches: &[Approach], results: &Results) -> String {
    let clients = PGBENCH_CLIENTS.map(|clients| format!("{clients} clients"));
    let header: Vec<&str> = ["statements of", "rows"].into_iter().chain(clients.iter().map(String::as_str)).collect();
    let mut table = Table::new("pgbench alone, changes/s [min … max]", &header);
    for load in Load::OF_ALL {
        for &approach in approaches {
            let rates = PGBENCH_CLIENTS.map(|clients| {
                results.rate((Group::Approach(approach, load), Point::Pgbench { approach, load, clients }))
            });
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
        let key = |kind| (Group::Pools, Point::Pool(kind));
        let Some(rate) = results.rate(key(kind)) else { continue };
        let by_sqlx = ratio(results.ratio(key(kind), key(PoolKind::Sqlx)));
        table.row([kind.to_string(), count(rate.median), min_max(rate), by_sqlx]);
    }
    table.text
}

/// The comparisons of group-commit.
fn groups(results: &Results) -> String {
    let Some(it) = group_commit() else {
        return "\n## group-commit\n\nThis program has no group-commit: nothing measured.\n".to_owned();
    };
    let header = ["compared with each other", "requests/s", "min … max", "p99 in ms", "not answered in time"];
    let mut table = Table::new("group-commit", &header);
    let hot = GROUP_COMMIT_CONNECTIONS.map(|connections| Group::Hot(it, connections));
    for group in hot.into_iter().chain([Group::Rows(it), Group::Transfers(it), Group::Crowd(it)]) {
        for point in group.points() {
            let key = (group, point);
            let Some(rate) = results.rate(key) else { continue };
            let over_http = matches!(point, Point::Approach { .. } | Point::Ceiling { .. });
            table.row([
                point.to_string(),
                count(rate.median),
                min_max(rate),
                results.p99_ms(key).map_or(NOTHING.to_owned(), |p99| format!("{:.2}", p99.median)),
                results.unanswered(key).filter(|_| over_http).map_or(NOTHING.to_owned(), |late| late.to_string()),
            ]);
        }
    }
    table.text
}

fn goals(results: &Results) -> String {
    let mut table = Table::new("Goals", &["goal", "bound", "measured", "min … max", ""]);
    for goal in goals::of(results) {
        let Spread { min, median, max } = goal.measured;
        table.row([
            goal.what.clone(),
            match goal.bound {
                Bound::AtLeast(least) => format!("≥ {least:.2}"),
                Bound::Below(most) => format!("< {most:.2}"),
                Bound::None => "none".to_owned(),
            },
            format!("{median:.2}"),
            format!("{min:.2} … {max:.2}"),
            if goal.met() { "met" } else { "missed" }.to_owned(),
        ]);
    }
    table.text
}

/// The label of an approach. A broken approach is measured like the others, so its label says that it is broken.
fn label(approach: Approach) -> String {
    if approach.info().claims.balance == Claim::Broken { format!("{approach} (broken)") } else { approach.to_string() }
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
