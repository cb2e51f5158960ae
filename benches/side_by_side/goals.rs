//! The goals.

use concurrency_lab::strategy::Approach;

use crate::groups::{GROUP_COMMIT_CONNECTIONS, Group, WITH_EVERY_POOL, fastest, group_commit};
use crate::points::{CONNECTIONS, CROWD, CROWD_TIMEOUT, Load, Point, PoolKind, Setup};
use crate::results::{Key, Results, Spread};

/// A goal and its measurement.
pub struct Goal {
    /// The goal in words.
    pub what: String,
    /// The bound.
    pub bound: Bound,
    /// The measured value.
    pub measured: Spread,
}

/// The bound of a goal.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// At least this.
    AtLeast(f64),
    /// Less than this.
    Below(f64),
    /// Exactly 0.
    None,
}

impl Goal {
    /// Whether the median meets the bound.
    pub fn met(&self) -> bool {
        match self.bound {
            Bound::AtLeast(least) => self.measured.median >= least,
            Bound::Below(most) => self.measured.median < most,
            Bound::None => self.measured.max <= 0.0,
        }
    }

    /// At least this many times the reference. `None` if one of the two was not measured.
    fn ratio(results: &Results, what: String, key: Key, reference: Option<Key>, least: f64) -> Option<Self> {
        let measured = results.ratio(key, reference?)?;
        Some(Self { what, bound: Bound::AtLeast(least), measured })
    }
}

/// The goals for everything that was measured.
pub fn of(results: &Results) -> Vec<Goal> {
    let mut goals = of_approaches(results);
    goals.extend(of_http(results));
    goals.extend(group_commit().map(|it| of_group_commit(results, it)).unwrap_or_default());
    goals
}

fn of_approaches(results: &Results) -> Vec<Goal> {
    let key = |setup, approach, load| (Group::Approach(approach, load), Point::http(setup, approach, load));
    let single = Approach::AtomicReturning;
    let best_hot = results.best_pgbench(Group::Approach(single, Load::Hot), single, Load::Hot).map(|(_, best)| best);
    let what = "hot row, pool 4: atomic-returning / pgbench's best".to_owned();
    let mut goals = vec![Goal::ratio(results, what, key(Setup::SmallPool, single, Load::Hot), best_hot, 1.0)];
    for approach in WITH_EVERY_POOL {
        let group = Group::Approach(approach, Load::Cold);
        let pgbench = (group, Point::Pgbench { approach, load: Load::Cold, clients: 32 });
        let what = format!("1000 rows: {approach} / pgbench, 32 clients");
        goals.push(Goal::ratio(results, what, key(Setup::Default, approach, Load::Cold), Some(pgbench), 0.7));
    }
    for approach in WITH_EVERY_POOL {
        let on = |setup| key(setup, approach, Load::Hot);
        for (setup, reference, least) in
            [(Setup::SmallPool, Setup::NoRowLimit, 1.0), (Setup::Default, Setup::SmallPool, 0.9)]
        {
            let what = format!("hot row, {approach}: {setup} / {reference}");
            goals.push(Goal::ratio(results, what, on(setup), Some(on(reference)), least));
        }
    }
    goals.into_iter().flatten().collect()
}

fn of_http(results: &Results) -> Vec<Goal> {
    let bare = Some((Group::Http, Point::BareAxum));
    let what = "/ceiling/balance / bare axum".to_owned();
    let mut goals = vec![Goal::ratio(results, what, (Group::Http, Point::ceiling()), bare, 0.9)];
    let what = "/ceiling/balance: the lab's load generator / wrk".to_owned();
    let ceiling_of_wrk = Some((Group::Http, Point::ceiling()));
    goals.push(Goal::ratio(results, what, (Group::Http, Point::Generator), ceiling_of_wrk, 0.6));
    let ceiling = |setup| (Group::Metrics, Point::Ceiling { setup, connections: CONNECTIONS });
    let approach = |setup| (Group::Metrics, Point::http(setup, fastest(), Load::Cold));
    let of_metrics = |what: String, [with, without]: [Key; 2]| Goal::ratio(results, what, with, Some(without), 0.97);
    let setups = [Setup::Default, Setup::NoMetrics];
    goals.push(of_metrics("/ceiling/balance: with metrics / without".to_owned(), setups.map(ceiling)));
    goals.push(of_metrics(format!("1000 rows, {}: with metrics / without", fastest()), setups.map(approach)));
    let [ours, sqlx] = [PoolKind::Ours, PoolKind::Sqlx].map(|kind| (Group::Pools, Point::Pool(kind)));
    goals.push(Goal::ratio(results, "the lab's pool / sqlx's pool".to_owned(), ours, Some(sqlx), 1.0));
    goals.into_iter().flatten().collect()
}

fn of_group_commit(results: &Results, it: Approach) -> Vec<Goal> {
    let http = |approach, load, connections| Point::Approach { setup: Setup::Default, approach, load, connections };
    let mut goals = Vec::new();
    // By number of connections: the ratio to the ceiling, and to pgbench's best with the single guarded UPDATE.
    let hot = GROUP_COMMIT_CONNECTIONS.into_iter().zip([(0.6, Some(10.0)), (0.85, None), (0.9, Some(15.0))]);
    for (connections, (of_ceiling, of_pgbench)) in hot {
        let group = Group::Hot(it, connections);
        let key = (group, http(it, Load::Hot, connections));
        let ceiling = (group, Point::Ceiling { setup: Setup::Default, connections });
        let what = format!("hot row, -c{connections}: {it} / ceiling");
        goals.push(Goal::ratio(results, what, key, Some(ceiling), of_ceiling));
        if let Some(least) = of_pgbench {
            let best = results.best_pgbench(group, Approach::AtomicReturning, Load::Hot).map(|(_, best)| best);
            let what = format!("hot row, -c{connections}: {it} / pgbench's best single UPDATE");
            goals.push(Goal::ratio(results, what, key, best, least));
        }
    }
    let key = (Group::Hot(it, CONNECTIONS), http(it, Load::Hot, CONNECTIONS));
    let p99 = results.p99_ms(key).map(|measured| Goal {
        what: format!("hot row, -c{CONNECTIONS}: {it}, p99 in ms"),
        bound: Bound::Below(5.0),
        measured,
    });
    goals.push(p99);
    #[allow(clippy::cast_precision_loss, reason = "a count of requests")]
    let late = results.unanswered((Group::Crowd(it), http(it, Load::Hot, CROWD))).map(|late| late as f64);
    goals.push(late.map(|late| Goal {
        what: format!("hot row, -c{CROWD}: {it}, requests without an answer within {} s", CROWD_TIMEOUT.as_secs()),
        bound: Bound::None,
        measured: Spread { min: late, median: late, max: late },
    }));
    for (group, load, reference, least) in [
        (Group::Rows(it), Load::Cold, Approach::AtomicReturning, 4.0),
        (Group::Transfers(it), Load::Transfers, Approach::Pessimistic, 10.0),
    ] {
        let of = |approach| (group, http(approach, load, CONNECTIONS));
        goals.push(Goal::ratio(results, format!("{load}: {it} / {reference}"), of(it), Some(of(reference)), least));
    }
    goals.into_iter().flatten().collect()
}
