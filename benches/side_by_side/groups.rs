//! The groups of points that are compared with each other, and their order in each round.

use concurrency_lab::strategy::Approach;
use strum::{Display, EnumIter, EnumString, IntoEnumIterator as _};

use crate::pgbench;
use crate::points::{CONNECTIONS, CROWD, Load, PGBENCH_CLIENTS, Point, PoolKind, Setup};

/// The approaches that are also measured with other pools: one statement, and a transaction of several.
pub const WITH_EVERY_POOL: [Approach; 2] = [Approach::AtomicReturning, Approach::Pessimistic];

/// The numbers of connections at which group-commit is measured on one row.
pub const GROUP_COMMIT_CONNECTIONS: [u32; 3] = [CONNECTIONS, 256, 1_000];

/// A part of the measurement that `--only` can select.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumIter, EnumString)]
#[strum(serialize_all = "kebab-case")]
pub enum Section {
    /// `/ceiling/balance` against a bare axum handler, and the lab's load generator against wrk.
    Http,
    /// A server with metrics against one without.
    Metrics,
    /// Every approach against its own statements, sent by pgbench.
    Approaches,
    /// group-commit against the references that it must beat.
    GroupCommit,
    /// The lab's pool against sqlx's.
    Pools,
}

/// Points that are compared with each other. A point may be in several groups; it is measured for each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// See [`Section::Http`].
    Http,
    /// See [`Section::Metrics`].
    Metrics,
    /// One approach under one load, and its references.
    Approach(Approach, Load),
    /// An approach (group-commit) on one hot row, with this many connections, and its references.
    Hot(Approach, u32),
    /// The same on 1000 rows.
    Rows(Approach),
    /// The same for transfers.
    Transfers(Approach),
    /// The same with 10000 connections.
    Crowd(Approach),
    /// See [`Section::Pools`].
    Pools,
}

/// The approach group-commit, if this program has it.
pub fn group_commit() -> Option<Approach> {
    Approach::find("group-commit")
}

/// The approach that is measured with and without metrics. The less it does itself, the more the cost of counting
/// shows.
pub fn fastest() -> Approach {
    group_commit().unwrap_or(Approach::AtomicReturning)
}

impl Group {
    /// The groups of these sections, or all groups if no section is named.
    pub fn chosen(sections: &[Section], approaches: &[Approach]) -> Vec<Self> {
        let wanted = |section: &Section| sections.is_empty() || sections.contains(section);
        Section::iter().filter(wanted).flat_map(|section| Self::of(section, approaches)).collect()
    }

    fn of(section: Section, approaches: &[Approach]) -> Vec<Self> {
        match section {
            Section::Http => vec![Self::Http],
            Section::Metrics => vec![Self::Metrics],
            Section::Approaches => {
                let each = |load| approaches.iter().map(move |&approach| Self::Approach(approach, load));
                Load::OF_ALL.into_iter().flat_map(each).collect()
            }
            Section::GroupCommit => {
                let Some(it) = group_commit().filter(|it| approaches.contains(it)) else { return Vec::new() };
                let hot = GROUP_COMMIT_CONNECTIONS.map(|connections| Self::Hot(it, connections));
                hot.into_iter().chain([Self::Rows(it), Self::Transfers(it), Self::Crowd(it)]).collect()
            }
            Section::Pools => vec![Self::Pools],
        }
    }

    /// Its points.
    pub fn points(self) -> Vec<Point> {
        let on = |approach, load| Point::http(Setup::Default, approach, load);
        match self {
            Self::Http => vec![Point::ceiling(), Point::BareAxum, Point::Generator],
            Self::Metrics => {
                let both = |setup| {
                    [Point::Ceiling { setup, connections: CONNECTIONS }, Point::http(setup, fastest(), Load::Cold)]
                };
                [Setup::Default, Setup::NoMetrics].into_iter().flat_map(both).collect()
            }
            Self::Approach(approach, load) => of_approach(approach, load),
            Self::Hot(approach, connections) => {
                let point = Point::Approach { setup: Setup::Default, approach, load: Load::Hot, connections };
                let ceiling = Point::Ceiling { setup: Setup::Default, connections };
                [point, ceiling].into_iter().chain(of_pgbench(Approach::AtomicReturning, Load::Hot)).collect()
            }
            Self::Rows(approach) => [approach, Approach::AtomicReturning].map(|it| on(it, Load::Cold)).to_vec(),
            Self::Transfers(approach) => [approach, Approach::Pessimistic].map(|it| on(it, Load::Transfers)).to_vec(),
            Self::Crowd(approach) => {
                vec![Point::Approach { setup: Setup::Default, approach, load: Load::Hot, connections: CROWD }]
            }
            Self::Pools => [PoolKind::Ours, PoolKind::Sqlx].map(Point::Pool).to_vec(),
        }
    }
}

fn of_approach(approach: Approach, load: Load) -> Vec<Point> {
    let every_pool = load == Load::Hot && WITH_EVERY_POOL.contains(&approach);
    let setups = if every_pool { &Setup::POOLS[..] } else { &[Setup::Default] };
    let mut points: Vec<_> = setups.iter().map(|&setup| Point::http(setup, approach, load)).collect();
    if pgbench::knows(approach) {
        points.extend(of_pgbench(approach, load));
    }
    if every_pool && approach == WITH_EVERY_POOL[0] {
        points.push(Point::Disk);
    }
    points
}

fn of_pgbench(approach: Approach, load: Load) -> [Point; 3] {
    PGBENCH_CLIENTS.map(|clients| Point::Pgbench { approach, load, clients })
}

/// The same order, started at another element in each turn.
pub fn rotated<T: Clone>(circle: &[T], turn: u32, turns: u32) -> Vec<T> {
    let mut order = circle.to_vec();
    if !order.is_empty() {
        order.rotate_left(circle.len() * turn as usize / turns as usize % circle.len());
    }
    order
}
