//! The options of `explore`, and the jobs that they ask for.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use clap::builder::{BoolishValueParser, PossibleValuesParser, TypedValueParser as _};
use clap::{ArgMatches, Args};
use strum::{IntoEnumIterator as _, VariantNames as _};

use super::script_file::{has_extension, read_script};
use crate::cli::CliError;
use crate::cli::options::{DatabaseArgs, approach, given, usage};
use crate::config::SCRIPT_FILE_BYTES;
use crate::explore::app::{CommandFile, command_execution};
use crate::explore::catalog::{read_decide_write, subject, test_cases};
use crate::explore::file::{ScriptVariant, execution};
use crate::explore::findings::{CrashKind, FailureKind, Servers};
use crate::explore::mutation::{Mutation, TextNotFound};
use crate::explore::report::ExploreFormat;
use crate::explore::scenario::ExploreScenario;
use crate::explore::schedule::Schedule;
use crate::explore::search::SearchPlan;
use crate::explore::search_order::SearchOrder;
use crate::explore::spec::grammar::IsolationSpec;
use crate::explore::test_case::{Crash, TestCase};
use crate::explore::worker_pool::{ExploreJob, JobSubject};
use crate::report::input_file::read_text;
use crate::session::statement::Isolation;
use crate::strategy::Approach;

/// Options of `explore`.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "switches of a command line, each by itself")]
pub struct ExploreArgs {
    /// What to explore: scenarios (last-money, money-for-all, deposit-and-withdrawal, opposite-transfers,
    /// transfer-and-withdrawal, last-seat, same-user, increments), or explore files (docs/EXPLORE.md), or files of
    /// commands (docs/APPS.md) [default: all scenarios]. The permutations of isolationtester's files (FILE.spec) are run and printed as isolationtester prints them.
    #[arg(value_name = "SCENARIO|FILE.toml|FILE.spec")]
    pub what: Vec<String>,

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

    /// Trusts the files: the programs that a file of commands names run without a question (docs/APPS.md). A file with `superuser = true`, and
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

const ALL: &str = "all";

/// Options that the permutations of a spec do not have.
const OF_EXPLORATIONS: [&str; 18] = [
    "approach",
    "clients",
    "variant",
    "servers",
    "isolation",
    "crash",
    "without",
    "reduce",
    "permute",
    "limit",
    "order",
    "random_seed",
    "stop_at_first",
    "after",
    "replay",
    "fail_on",
    "format",
    "html",
];

/// The value of `--crash`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrashArg {
    kinds: Vec<CrashKind>,
    after: Option<u32>,
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

impl ExploreArgs {
    /// The explorations that are asked for, in order.
    ///
    /// # Errors
    /// [`CliError::Usage`], which names the option.
    pub fn jobs(&self, matches: Option<&ArgMatches>) -> Result<Vec<ExploreJob>, CliError> {
        // Options from the environment may be meant for another command. On the command line they are a mistake.
        let given = |id: &str| given(matches, id);
        let (files, scenarios): (Vec<&String>, Vec<&String>) =
            self.what.iter().partition(|what| has_extension(what, "toml") || has_extension(what, "spec"));
        if given("all") && !files.iter().any(|file| has_extension(file, "spec")) {
            return usage("--all: only a FILE.spec has permutations that it replaces; leave --all out".to_owned());
        }
        if files.is_empty() && self.variant.is_some() {
            return usage(
                "--variant: only explore files have variants; name a file, or leave --variant out".to_owned(),
            );
        }
        let of_approaches = ["approach", "clients", "servers", "isolation", "crash", "without"];
        if let Some(option) = of_approaches.iter().find(|id| scenarios.is_empty() && !files.is_empty() && given(id)) {
            return usage(format!(
                "--{option} is not for explore files; the file itself defines its sessions, their isolation level and where they \
                 are cut"
            ));
        }
        self.check_order()?;
        let mut jobs = Vec::new();
        if files.is_empty() || !scenarios.is_empty() {
            jobs.extend(self.of_scenarios(&scenarios)?);
        }
        for file in files {
            jobs.extend(self.of_file(Path::new(file))?);
        }
        let single = if self.replay.is_some() { Some("--replay") } else { self.after.as_ref().map(|_| "--after") };
        if let Some(option) = single.filter(|_| self.crash.as_ref().is_some_and(|crash| crash.after.is_none())) {
            return usage(format!("{option} needs a single crash point; name it, such as --crash=cut:2"));
        }
        if let Some(option) = single.filter(|_| jobs.len() != 1) {
            return usage(format!(
                "{option} needs exactly one exploration, and these options ask for {}; name one scenario and one --approach \
                 (and, if there are several, one of --servers and of --isolation), or one file and one --variant",
                jobs.len()
            ));
        }
        Ok(jobs)
    }

    /// The specs whose permutations are to be run; `None` if interleavings are to be explored.
    ///
    /// # Errors
    /// [`CliError::Usage`], which names the option.
    pub fn specs(&self, matches: Option<&ArgMatches>) -> Result<Option<Vec<(PathBuf, IsolationSpec)>>, CliError> {
        let (specs, others): (Vec<&String>, Vec<&String>) =
            self.what.iter().partition(|what| has_extension(what, "spec"));
        if specs.is_empty() || self.all || self.replay_from.is_some() {
            return Ok(None);
        }
        if let Some(other) = others.first() {
            return usage(format!(
                "{other:?} cannot be explored beside permutations of a spec; use --all, or two commands"
            ));
        }
        if let Some(option) = OF_EXPLORATIONS.iter().find(|id| given(matches, id)) {
            let option = option.replace('_', "-");
            return usage(format!("--{option} is for explorations; add --all to explore the steps of the spec"));
        }
        let read = |path: &String| IsolationSpec::read(Path::new(path)).map(|spec| (PathBuf::from(path), spec));
        let specs: Result<_, _> = specs.into_iter().map(read).collect();
        specs.map(Some).map_err(|error| CliError::Usage(error.to_string()))
    }

    fn order(&self) -> SearchOrder {
        let sampled = self.limit.is_some() && self.random_seed.is_some() && self.after.is_none();
        self.order.unwrap_or(if sampled { SearchOrder::Walks } else { SearchOrder::DepthFirst })
    }

    /// Refuses what a sample cannot do.
    fn check_order(&self) -> Result<(), CliError> {
        let order = self.order();
        if order == SearchOrder::DepthFirst || self.replay.is_some() {
            return Ok(());
        }
        let conflict = [
            (
                self.reduce,
                "--reduce leaves out what is equivalent to an interleaving that was run, which a sample does not know",
            ),
            (self.after.is_some(), "--after continues a depth-first exploration"),
            (self.limit.is_none(), "a sample needs its size: --limit N"),
        ];
        match conflict.into_iter().find(|(is_so, _)| *is_so) {
            Some((_, why)) => usage(format!("--order {order}: {why}")),
            None => Ok(()),
        }
    }

    fn plan(&self) -> SearchPlan {
        SearchPlan {
            order: self.order(),
            reduce: self.reduce,
            permute: self.permute,
            limit: self.limit,
            seed: self.random_seed,
            stop_at_first: self.stop_at_first,
            after: self.after.clone(),
        }
    }

    fn of_commands(&self, path: &Path) -> Result<Vec<ExploreJob>, CliError> {
        let file = CommandFile::read(path).map_err(|error| CliError::Usage(error.to_string()))?;
        if self.variant.is_some() {
            return usage(format!(
                "--variant: {} is a file of commands, which has no variants; leave --variant out",
                path.display()
            ));
        }
        let subject = command_execution::subject(&file, &path.display().to_string());
        Ok(vec![ExploreJob { subject, what: JobSubject::Commands(Arc::new(file)), plan: self.plan() }])
    }

    fn of_file(&self, path: &Path) -> Result<Vec<ExploreJob>, CliError> {
        // A file that cannot be read is refused below.
        if read_text(path, SCRIPT_FILE_BYTES).is_ok_and(|text| CommandFile::is_one(&text)) {
            return self.of_commands(path);
        }
        let script = Arc::new(read_script(path, self.trust_file).map_err(CliError::Usage)?);
        let job = |variant: &ScriptVariant| ExploreJob {
            subject: execution::subject(&script, variant, &path.display().to_string()),
            what: JobSubject::File(Arc::clone(&script), variant.clone()),
            plan: self.plan(),
        };
        let wanted = |variant: &&ScriptVariant| self.variant.as_ref().is_none_or(|name| variant.to_string() == *name);
        let jobs: Vec<ExploreJob> = script.variants.iter().filter(wanted).map(job).collect();
        if jobs.is_empty() {
            let known: Vec<String> =
                script.variants.iter().map(|variant| format!("{:?}", variant.to_string())).collect();
            return usage(format!(
                "--variant: {1} has no variant {0:?}; its variants are {2}",
                self.variant.as_deref().unwrap_or_default(),
                path.display(),
                known.join(", ")
            ));
        }
        Ok(jobs)
    }

    fn of_scenarios(&self, names: &[&String]) -> Result<Vec<ExploreJob>, CliError> {
        let scenarios = if names.is_empty() {
            ExploreScenario::iter().collect()
        } else {
            names.iter().map(|name| scenario(name)).collect::<Result<Vec<_>, _>>()?
        };
        let mut jobs = Vec::new();
        let mut not_found = None;
        for approach in self.approaches()? {
            match self.mutation(approach) {
                Ok(mutation) => jobs.extend(
                    scenarios.iter().flat_map(|scenario| self.of_approach(approach, *scenario, mutation.as_ref())),
                ),
                // Of several approaches, only those that contain the text are explored.
                Err(error) => not_found = Some(error),
            }
        }
        if let Some(error) = not_found.filter(|_| jobs.is_empty()) {
            return usage(format!("--without: {error}"));
        }
        if jobs.is_empty() {
            return usage("--approach: none of these approaches supports any of these scenarios".to_owned());
        }
        Ok(jobs)
    }

    fn of_approach(
        &self,
        approach: Approach,
        scenario: ExploreScenario,
        mutation: Option<&Arc<Mutation>>,
    ) -> Vec<ExploreJob> {
        let mut jobs = Vec::new();
        let wanted = |case: &TestCase| match self.servers.as_deref() {
            Some("one") => case.servers == Servers::One,
            Some(_) => case.servers == Servers::Each || test_cases(approach, scenario, self.clients).len() == 1,
            None => true,
        };
        for case in test_cases(approach, scenario, self.clients).into_iter().filter(wanted) {
            for isolation in self.levels() {
                for crash in self.crashes() {
                    let case = TestCase { isolation, mutation: mutation.cloned(), crash, ..case.clone() };
                    let subject = subject(approach, &case);
                    jobs.push(ExploreJob { subject, what: JobSubject::Approach(case), plan: self.plan() });
                }
            }
        }
        jobs
    }

    /// The approach's SQL without the text of `--without`.
    fn mutation(&self, approach: Approach) -> Result<Option<Arc<Mutation>>, TextNotFound> {
        let mutation = self.without.as_ref().map(|text| Mutation::new(approach.strategy(), text, ""));
        Ok(mutation.transpose()?.map(Arc::new))
    }

    fn crashes(&self) -> Vec<Option<Crash>> {
        match &self.crash {
            None => vec![None],
            Some(CrashArg { kinds, after }) => {
                kinds.iter().map(|kind| Some(Crash { kind: *kind, after: *after })).collect()
            }
        }
    }

    fn levels(&self) -> Vec<Option<Isolation>> {
        match self.isolation.as_deref() {
            None => vec![None],
            Some(ALL) => Isolation::iter().map(Some).collect(),
            Some(level) => vec![level.parse().ok()],
        }
    }

    fn approaches(&self) -> Result<Vec<Approach>, CliError> {
        if self.approach.iter().any(|name| name == ALL) {
            return Ok(match self.isolation {
                Some(_) => read_decide_write().collect(),
                None => Approach::iter().collect(),
            });
        }
        let found = self.approach.iter().map(|name| {
            approach(name).map_err(|known| CliError::Usage(format!("--approach: {name:?} is unknown; {known}, {ALL}")))
        });
        found.collect()
    }
}

pub(super) fn scenario(name: &str) -> Result<ExploreScenario, CliError> {
    name.parse().map_err(|_| {
        CliError::Usage(format!(
            "{name:?} is neither a scenario nor an explore file; the scenarios are {}, and the name of an explore file ends in .toml or .spec",
            ExploreScenario::VARIANTS.join(", ")
        ))
    })
}
