//! Side by side: the cost of each approach next to a reference that it cannot beat, in one run on one machine.
//!
//! A throughput by itself says little, because it depends on the disk, the processor and other load on the machine. So
//! everything here is measured against a reference, in the same minutes, on the same PostgreSQL:
//!
//! - every approach over HTTP (wrk), on one hot row and on 1000 rows, against `/ceiling/balance` of the same server
//!   (the cost of HTTP alone) and against pgbench sending the same statements (the cost of PostgreSQL alone);
//! - `/ceiling/balance` against a bare axum handler, in a process of its own (the cost of the server's routes and
//!   headers);
//! - the lab's load generator against wrk, on the same route (the cost of recording its history);
//! - the same approach with a small pool, with a large pool, and with a large pool and a limit of sessions per row (the
//!   cost of waiting inside PostgreSQL);
//! - the same server with and without metrics (the cost of counting);
//! - group-commit against the ceiling, against pgbench's single UPDATE, against other approaches on many rows and for
//!   transfers, and with 10000 connections;
//! - sqlx's own pool against the lab's (the reason for a pool of its own).
//!
//! The speed of a shared machine changes within seconds, and that of its disk by a factor of ten. So points that are
//! compared with each other are measured as nearly at the same time as possible: they take turns of a second each until
//! each has had its time. Each round does this for every group and starts at another group, so that no group always
//! runs on the fresh database or on the worn one. The tables show medians over the rounds and their spread. A ratio is
//! computed within each round, and the table shows the median of these ratios.
//!
//! ```text
//! cargo bench --bench side_by_side                            3 rounds of 2 s per point, a quarter of an hour
//! cargo bench --bench side_by_side -- --quick                 1 round of 1 s, to check that it works
//! cargo bench --bench side_by_side -- --only group-commit     a part: http, metrics, approaches, group-commit, pools
//! ```
//!
//! A missed goal is not a failure: this program measures, and the tests judge. Exit codes: 0 measured, 1 a measurement
//! cannot be trusted (a request was not answered with 2xx), 2 usage, 3 environment, 130 interrupted.
//!
//! # Layout, in reading order
//!
//! - [`points`]: the points that are measured
//! - [`groups`]: the points that are compared with each other
//! - [`environment`]: the database, the servers, and their end
//! - [`bare_axum`]: the reference for HTTP
//! - [`wrk`], [`generator`], [`pgbench`], [`pools`], [`disk`]: the ways of measuring
//! - [`results`]: medians and ratios
//! - [`goals`]: the goals
//! - [`report`], [`conditions`]: the Markdown

mod bare_axum;
mod conditions;
mod disk;
mod environment;
mod generator;
mod goals;
mod groups;
mod pgbench;
mod points;
mod pools;
mod report;
mod results;
mod wrk;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use concurrency_lab::strategy::Approach;
use nix::sys::resource::{Resource, getrlimit};
use tokio::signal::unix::{SignalKind, signal};

use environment::BenchEnvironment;
use groups::{Group, Section};
use points::{CONNECTIONS, CROWD, Load, Point};
use results::{Measured, Results};

/// The same allocator as the program's, so that the bare server and the pools do not differ from it in this.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long each server is warmed up. In this time its pool opens connections, and these prepare their statements.
const WARM_UP: Duration = Duration::from_secs(1);

/// Measure every approach side by side with a reference that it cannot beat.
#[derive(Debug, Parser)]
#[command(name = "side_by_side", max_term_width = 120)]
pub struct Options {
    /// How often every point is measured.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,

    /// How long each point is measured, in each round.
    #[arg(long, default_value_t = 2, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,

    /// 1 round of 1 second, only to check that everything works.
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,

    /// Only these approaches.
    #[arg(long = "approach", value_name = "NAME", value_delimiter = ',', value_parser = approach)]
    approaches: Vec<Approach>,

    /// Only these parts: http, metrics, approaches, group-commit, pools.
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<Section>,

    /// `cargo bench` sets this option and `cargo test` does not. Without it nothing is measured.
    #[arg(long, hide = true)]
    bench: bool,

    /// Run as the bare axum server.
    #[arg(long, hide = true)]
    bare_axum: bool,
}

/// Why there is no report. The variants are the exit codes.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// 1: a measurement is not of what it claims to be.
    #[error("a measurement cannot be trusted: {0}")]
    Untrue(String),
    /// 3: a program is missing or does not start.
    #[error("{0}")]
    Environment(String),
    /// 130: the run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// Wraps an error of the environment.
    pub fn environment(error: impl std::fmt::Display) -> Self {
        Self::Environment(error.to_string())
    }
}

impl Options {
    fn rounds(&self) -> u32 {
        if self.quick { 1 } else { self.rounds }
    }

    fn seconds(&self) -> u32 {
        if self.quick { 1 } else { self.seconds }
    }
}

fn approach(name: &str) -> Result<Approach, String> {
    Approach::find(name).ok_or_else(|| "there is no approach of this name; GET /approaches lists them".to_owned())
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return finish(&Err(Failure::environment(error))),
    };
    if options.bare_axum {
        return finish(&runtime.block_on(bare_axum::serve()));
    }
    if !options.bench {
        eprintln!("side_by_side: nothing measured; `cargo bench --bench side_by_side` measures");
        return ExitCode::SUCCESS;
    }
    // Dropping the measurement before its end stops what it started: servers, load, database, directories.
    finish(&runtime.block_on(async {
        tokio::select! {
            measured = measure(&options) => measured,
            interrupted = interrupted() => interrupted,
        }
    }))
}

fn finish(result: &Result<(), Failure>) -> ExitCode {
    let Err(failure) = result else { return ExitCode::SUCCESS };
    eprintln!("side_by_side: {failure}");
    ExitCode::from(match failure {
        Failure::Untrue(_) => 1,
        Failure::Environment(_) => 3,
        Failure::Interrupted => 130,
    })
}

async fn interrupted() -> Result<(), Failure> {
    let mut terminated = signal(SignalKind::terminate()).map_err(Failure::environment)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(Failure::environment)?;
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    Err(Failure::Interrupted)
}

async fn measure(options: &Options) -> Result<(), Failure> {
    let environment = BenchEnvironment::set_up().await?;
    let approaches = environment.approaches(&options.approaches).await?;
    let groups = chosen_groups(options, &approaches);
    let conditions = conditions::gather(options, &environment).await?;
    environment.warm_up(WARM_UP).await?;
    let mut results = Results::default();
    for round in 0..options.rounds() {
        for group in groups::rotated(&groups, round, options.rounds()) {
            for (point, measured) in environment.measure_group(group, options.seconds()).await? {
                let rate = report::count(measured.per_second);
                eprintln!("round {}/{}: {rate:>9} /s  {point}", round + 1, options.rounds());
                results.add((group, point), measured);
            }
        }
    }
    println!("{}", report::markdown(&conditions, &approaches, &results));
    environment.take_down().await
}

/// The groups to measure, without those that cannot be measured here.
fn chosen_groups(options: &Options, approaches: &[Approach]) -> Vec<Group> {
    concurrency_lab::cli::raise_open_files_limit();
    // wrk has the same limit as this process, and needs one file per connection.
    let room = getrlimit(Resource::RLIMIT_NOFILE).is_ok_and(|(soft, _)| soft > u64::from(CROWD) + 100);
    let mut groups = Group::chosen(&options.only, approaches);
    groups.retain(|group| {
        let possible = room || !matches!(group, Group::Crowd(_));
        if !possible {
            eprintln!("SKIPPED: {CROWD} connections need a higher limit of open files (ulimit -n)");
        }
        possible
    });
    groups
}

impl BenchEnvironment {
    /// Measures the points of a group in turns, one slice of each at a time.
    async fn measure_group(&self, group: Group, seconds: u32) -> Result<Vec<(Point, Measured)>, Failure> {
        let points: Vec<_> = group.points().into_iter().filter(|&point| self.pgbench.can(point)).collect();
        let mut slices = vec![Vec::new(); points.len()];
        for turn in 0..seconds {
            for index in groups::rotated(&(0..points.len()).collect::<Vec<_>>(), turn, seconds) {
                slices[index].push(self.measure(points[index], points[index].slice()).await?);
            }
        }
        Ok(points.into_iter().zip(slices.iter().map(|slices| Measured::mean(slices))).collect())
    }

    async fn measure(&self, point: Point, time: Duration) -> Result<Measured, Failure> {
        self.pgbench.settle().await?;
        let measured = match point {
            Point::Approach { setup, approach, load, connections } => {
                let path = format!("/approach/{}{}", approach.name(), load.route());
                self.wrk.measure(self.server(setup), &path, load, connections, time).await
            }
            Point::Ceiling { setup, connections } => {
                self.wrk.measure(self.server(setup), "/ceiling/balance", Load::Hot, connections, time).await
            }
            Point::BareAxum => self.wrk.measure(self.bare_axum(), "/balance", Load::Hot, CONNECTIONS, time).await,
            Point::Generator => generator::measure(self.default_server(), time).await,
            Point::Pgbench { approach, load, clients } => {
                self.pgbench.measure(approach, load, clients, time).await.map(Measured::rate)
            }
            Point::Disk => disk::measure(self.data_dir(), time).await.map(Measured::rate),
            Point::Pool(kind) => self.pools.measure(kind, time).await.map(Measured::rate),
        };
        measured.map_err(|failure| match failure {
            Failure::Untrue(reason) => Failure::Untrue(format!("{point}: {reason}")),
            Failure::Environment(reason) => Failure::Environment(format!("{point}: {reason}")),
            Failure::Interrupted => Failure::Interrupted,
        })
    }
}
