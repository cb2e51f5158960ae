//! The options of `explore`; [`super::jobs`] makes jobs of them.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use clap::builder::{BoolishValueParser, PossibleValuesParser, TypedValueParser as _};
use strum::{IntoEnumIterator as _, VariantNames as _};

use crate::cli::options::DatabaseArgs;
use crate::explore::findings::{CrashKind, FailureKind};
use crate::explore::report::ExploreFormat;
use crate::explore::schedule::Schedule;
use crate::explore::search_order::SearchOrder;
use crate::session::statement::Isolation;

/// Options of `explore`.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "switches of a command line, each by itself")]
pub struct ExploreArgs {
    /// What to explore: scenarios (last-money, money-for-all, deposit-and-withdrawal, opposite-transfers,
    /// transfer-and-withdrawal, last-seat, same-user, increments), or explore files (docs/EXPLORE.md), or files of
    /// applications (docs/APPS.md) [default: all scenarios]. The permutations of isolationtester's files (FILE.spec) are run and printed as isolationtester prints them.
    #[arg(value_name = "SCENARIO|FILE.toml|FILE.spec")]
    pub what: Vec<String>,

    /// Starts this application and explores the requests of --request, without a file (docs/APPS.md). It finds its database by `DATABASE_URL`,
    /// and its port by `PORT`.
    #[arg(long, value_name = "COMMAND", requires = "request", conflicts_with = "what")]
    pub app: Option<String>,

    /// A request to the application of --app, once for each: a method, a path, and maybe JSON or text. --request 'POST /withdraw {"amount":30}'
    #[arg(long, value_name = "REQUEST", requires = "app")]
    pub request: Vec<String>,

    /// A program that prepares the database of --app, once: its migrations and its first rows.
    #[arg(long, value_name = "COMMAND", requires = "app")]
    pub prepare: Option<String>,

    /// Writes what --app and --request say to this file, which can be explored later. A file that is there is not replaced.
    #[arg(long, value_name = "FILE.toml", requires = "app")]
    pub write: Option<PathBuf>,

    /// Only tells what each request or command of an application sends alone, and explores nothing.
    #[arg(long, env = "LAB_DRY_RUN", value_parser = BoolishValueParser::new(), conflicts_with_all = ["replay", "replay_from", "html"])]
    pub dry_run: bool,

    /// Explores every interleaving of the steps of a FILE.spec, in place of its permutations.
    #[arg(long, env = "LAB_ALL", value_parser = BoolishValueParser::new())]
    pub all: bool,

    /// The approaches to explore, by name or alias.
    #[arg(long, env = "LAB_APPROACH", default_value = "all", value_delimiter = ',', value_name = "NAME,…")]
    pub approach: Vec<String>,

    /// The number of clients. Three take seconds if they wait for locks, and hours if they retry; see --limit and --reduce.
    #[arg(long, env = "LAB_CLIENTS", default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=4))]
    pub clients: u8,

    /// Explores only this variant of an explore file, named as in the table: --variant "repeatable read".
    #[arg(long, env = "LAB_VARIANT", value_name = "NAME")]
    pub variant: Option<String>,

    /// All clients on one server, or each on its own, for approaches that keep something in their process [default: both].
    #[arg(long, env = "LAB_SERVERS", value_name = "WHERE", value_parser = PossibleValuesParser::new(["one", "each"]))]
    pub servers: Option<String>,

    /// Gives every transaction this isolation level instead of the approach's own: read-committed, repeatable-read,
    /// serializable, or all, one after the other.
    #[arg(long, env = "LAB_ISOLATION", value_name = "LEVEL", value_parser = levels())]
    pub isolation: Option<String>,

    /// Cuts the first client's connection after each of its statements in turn, and lets the client hang up during each of its steps
    /// (all); only one of the two (cut, hang-up); or only at one statement (cut:2).
    #[arg(long, env = "LAB_CRASH", value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    pub crash: Option<CrashArg>,

    /// Takes this text out of the approach's SQL, to see whether it is needed: --without "for update".
    #[arg(long, env = "LAB_WITHOUT", value_name = "TEXT")]
    pub without: Option<String>,

    /// Leaves out interleavings that are equivalent to one that is run.
    #[arg(long, env = "LAB_REDUCE", value_parser = BoolishValueParser::new())]
    pub reduce: bool,

    /// Runs identical clients in every order, too.
    #[arg(long, env = "LAB_PERMUTE", value_parser = BoolishValueParser::new())]
    pub permute: bool,

    /// Runs at most this number of interleavings of each exploration.
    #[arg(long, env = "LAB_LIMIT", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,

    /// The order: depth-first (all interleavings; with --limit the first ones, which begin alike and are no sample), walks (a sample of
    /// --limit interleavings, independent of each other) or pct (a sample in which the client changes rarely) [default: walks with
    /// --limit and --random-seed, otherwise depth-first].
    #[arg(long, env = "LAB_ORDER", value_name = "ORDER", value_parser = PossibleValuesParser::new(SearchOrder::VARIANTS).try_map(|name| name.parse::<SearchOrder>()))]
    pub order: Option<SearchOrder>,

    /// Determines a sample: each number gives another one. Without --limit, each number gives another order of exploring all.
    #[arg(long, env = "LAB_EXPLORE_SEED", value_name = "N")]
    pub random_seed: Option<u64>,

    /// Ends each exploration with its first violation.
    #[arg(long, env = "LAB_STOP_AT_FIRST", value_parser = BoolishValueParser::new())]
    pub stop_at_first: bool,

    /// Continues a limited exploration after this schedule, its last one.
    #[arg(long, env = "LAB_AFTER", value_name = "SCHEDULE")]
    pub after: Option<Schedule>,

    /// Runs only this schedule, such as ABBA, and prints what happens. Steps after its end are taken one client after the other.
    #[arg(long, env = "LAB_REPLAY", value_name = "SCHEDULE", conflicts_with_all = ["after", "limit", "html"])]
    pub replay: Option<Schedule>,

    /// Replays the witness of each broken exploration in a report of --format json, and says whether it is still broken. With scenarios or
    /// files, only theirs.
    #[arg(long, env = "LAB_REPLAY_FROM", value_name = "REPORT.json", conflicts_with_all = ["replay", "after", "limit", "html"])]
    pub replay_from: Option<PathBuf>,

    /// Ends with exit code 1 if an interleaving has such a failure, although its end may be right: deadlock, conflict
    /// (a serialization failure), gave-up.
    #[arg(long, env = "LAB_FAIL_ON", value_name = "FAILURE,…", value_delimiter = ',', value_parser = PossibleValuesParser::new(FailureKind::VARIANTS).try_map(|name| name.parse::<FailureKind>()))]
    pub fail_on: Vec<FailureKind>,

    /// Trusts the files: the programs that a file of an application names run without a question (docs/APPS.md). A file with `superuser = true`, and
    /// every FILE.spec, may do all that a superuser may, also run programs on this machine. There is no variable for it, because a file `.env` could set it.
    #[arg(long)]
    pub trust_file: bool,

    /// The format of the report on standard output.
    #[arg(long, env = "LAB_EXPLORE_FORMAT", default_value = "table", value_parser = PossibleValuesParser::new(ExploreFormat::VARIANTS).try_map(|name| name.parse::<ExploreFormat>()))]
    pub format: ExploreFormat,

    /// Also writes the report to this file, as an HTML page with the timelines.
    #[arg(long, env = "LAB_HTML", value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// The number of explorations at the same time [default: one per core; with --database-url always one].
    #[arg(long, env = "LAB_WORKERS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: Option<u16>,

    /// Prints events as JSON instead of the report, until standard input is closed; for the dashboard.
    #[arg(long, hide = true, requires = "out", conflicts_with_all = ["replay", "replay_from"])]
    pub events: bool,

    /// Writes the report as JSON into a new folder below this one.
    #[arg(long, hide = true, value_name = "DIR", requires = "events")]
    pub out: Option<PathBuf>,

    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// The value of options that stands for all.
pub(super) const ALL: &str = "all";

/// The value of `--crash`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrashArg {
    /// What is cut, or hangs up.
    pub(super) kinds: Vec<CrashKind>,
    /// At which statement; at each in turn if none is named.
    pub(super) after: Option<u32>,
}

impl FromStr for CrashArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected all, cut or hang-up, or the latter two with a number, such as cut:2".to_owned();
        let (what, after) = match text.split_once(':') {
            Some((what, after)) => (what, Some(after.parse().ok().filter(|after| *after > 0).ok_or_else(expected)?)),
            None => (text, None),
        };
        let kinds = match (what, after) {
            (ALL, None) => CrashKind::iter().collect(),
            ("cut", _) => vec![CrashKind::Cut],
            ("hang-up", _) => vec![CrashKind::HangUp],
            _ => return Err(expected()),
        };
        Ok(Self { kinds, after })
    }
}

fn levels() -> PossibleValuesParser {
    PossibleValuesParser::new(Isolation::VARIANTS.iter().copied().chain([ALL]))
}
