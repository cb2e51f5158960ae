//! The options of `explore`, and what they ask for.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use clap::builder::{BoolishValueParser, PossibleValuesParser, TypedValueParser as _};
use clap::{ArgMatches, Args};
use strum::{IntoEnumIterator as _, VariantNames as _};

use crate::cli::CliError;
use crate::cli::options::{DatabaseArgs, approach, given, usage};
use crate::explore::catalog::{pieces, read_decide_write, subject};
use crate::explore::crash::Crash;
use crate::explore::execution::TestCase;
use crate::explore::file::{Script, ScriptVariant, execution};
use crate::explore::findings::{CrashKind, Servers};
use crate::explore::mutation::{Mutation, TextNotFound};
use crate::explore::report::ExploreFormat;
use crate::explore::scenario::ExploreScenario;
use crate::explore::schedule::Schedule;
use crate::explore::search::SearchPlan;
use crate::explore::worker_pool::{ExploreJob, JobSubject};
use crate::session::statement::Isolation;
use crate::strategy::Approach;

/// Options of `explore`.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "switches of a command line, each by itself")]
pub struct ExploreArgs {
    /// What to explore: scenarios (last-money, money-for-all, deposit-and-withdrawal, opposite-transfers,
    /// transfer-and-withdrawal, last-seat, same-user, increments), or explore files (docs/EXPLORE.md) [default: all scenarios].
    #[arg(value_name = "SCENARIO|FILE.toml")]
    pub what: Vec<String>,

    /// Which approaches, by name or alias.
    #[arg(long, env = "LAB_APPROACH", default_value = "all", value_delimiter = ',', value_name = "NAME,…")]
    pub approach: Vec<String>,

    /// How many clients. Three take seconds where they wait for locks, hours where they retry; see --limit and --reduce.
    #[arg(long, env = "LAB_CLIENTS", default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=4))]
    pub clients: u8,

    /// Of an explore file, this variant only, as the table names it: --variant "repeatable read".
    #[arg(long, env = "LAB_VARIANT", value_name = "NAME")]
    pub variant: Option<String>,

    /// Where the clients of an approach that keeps something in its process are [default: both, one after the other].
    #[arg(long, env = "LAB_SERVERS", value_name = "WHERE", value_parser = PossibleValuesParser::new(["one", "each"]))]
    pub servers: Option<String>,

    /// Gives every transaction this isolation level, whatever its approach asks for: read-committed, repeatable-read,
    /// serializable, or all, one after the other.
    #[arg(long, env = "LAB_ISOLATION", value_name = "LEVEL", value_parser = levels())]
    pub isolation: Option<String>,

    /// Cuts the first client's connection after each of its statements in turn, and lets it hang up after each (all); one of the two
    /// (cut, hang-up); or after one statement only (cut:2).
    #[arg(long, env = "LAB_CRASH", value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    pub crash: Option<CrashArg>,

    /// Takes this text out of the approach's SQL, to see what it is there for: --without "for update".
    #[arg(long, env = "LAB_WITHOUT", value_name = "TEXT")]
    pub without: Option<String>,

    /// Leaves out interleavings that are equivalent to others.
    #[arg(long, env = "LAB_REDUCE", value_parser = BoolishValueParser::new())]
    pub reduce: bool,

    /// Runs identical clients in every order, too.
    #[arg(long, env = "LAB_PERMUTE", value_parser = BoolishValueParser::new())]
    pub permute: bool,

    /// Interleavings of each exploration at most.
    #[arg(long, env = "LAB_LIMIT", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,

    /// Explores in an order that this number decides: with --limit, a sample.
    #[arg(long, env = "LAB_EXPLORE_SEED", value_name = "N")]
    pub random_seed: Option<u64>,

    /// Goes on after this schedule, at which one that was limited has ended.
    #[arg(long, env = "LAB_AFTER", value_name = "SCHEDULE")]
    pub after: Option<Schedule>,

    /// Runs this schedule only, such as ABBA, and tells what happens; whoever it leaves standing goes on by itself.
    #[arg(long, env = "LAB_REPLAY", value_name = "SCHEDULE", conflicts_with_all = ["after", "limit", "html"])]
    pub replay: Option<Schedule>,

    /// What to print.
    #[arg(long, env = "LAB_EXPLORE_FORMAT", default_value = "table", value_parser = PossibleValuesParser::new(ExploreFormat::VARIANTS).try_map(|name| name.parse::<ExploreFormat>()))]
    pub format: ExploreFormat,

    /// Writes a page of it, with the timelines.
    #[arg(long, env = "LAB_HTML", value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Explorations at the same time [default: one a core; on a --database-url, one].
    #[arg(long, env = "LAB_WORKERS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: Option<u16>,

    /// Tell what happens, in JSON, instead of the report, and only as long as standard input is open: for the dashboard.
    #[arg(long, hide = true, requires = "out", conflicts_with = "replay")]
    pub events: bool,

    /// Leave the report, as JSON, in a folder of its own below this one.
    #[arg(long, hide = true, value_name = "DIR", requires = "events")]
    pub out: Option<PathBuf>,

    #[command(flatten)]
    pub database: DatabaseArgs,
}

const ALL: &str = "all";

/// Which crashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrashArg {
    kinds: Vec<CrashKind>,
    after: Option<u32>,
}

impl FromStr for CrashArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || "expected all, cut, hang-up, or one of the latter and a statement's number, such as cut:2".to_owned();
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
    /// Everything that is to be explored, in order.
    ///
    /// # Errors
    /// [`CliError::Usage`], which names the option.
    pub fn jobs(&self, matches: Option<&ArgMatches>) -> Result<Vec<ExploreJob>, CliError> {
        // From the environment they may be meant for another command; on the command line they can only be a mistake.
        let given = |id: &str| given(matches, id);
        let (files, scenarios): (Vec<&String>, Vec<&String>) =
            self.what.iter().partition(|what| Path::new(what).extension().is_some_and(|extension| extension == "toml"));
        if files.is_empty() && self.variant.is_some() {
            return usage("--variant: only an explore file has variants".to_owned());
        }
        let of_approaches = ["approach", "clients", "servers", "isolation", "crash", "without"];
        if let Some(option) = of_approaches.iter().find(|id| scenarios.is_empty() && !files.is_empty() && given(id)) {
            return usage(format!(
                "--{option}: an explore file says itself who does what, at which level, and who is cut"
            ));
        }
        let mut jobs = Vec::new();
        if files.is_empty() || !scenarios.is_empty() {
            jobs.extend(self.of_scenarios(&scenarios)?);
        }
        for file in files {
            jobs.extend(self.of_file(Path::new(file))?);
        }
        let single = if self.replay.is_some() { Some("--replay") } else { self.after.as_ref().map(|_| "--after") };
        if let Some(option) = single.filter(|_| self.crash.as_ref().is_some_and(|crash| crash.after.is_none())) {
            return usage(format!("{option}: a schedule has one crash; name it, as --crash=cut:2 does"));
        }
        if let Some(option) = single.filter(|_| jobs.len() != 1) {
            return usage(format!(
                "{option} needs one exploration, and these are {}; name one scenario and one --approach, and where they matter \
                 one of --servers and --isolation; or one file and one of its variants (--variant)",
                jobs.len()
            ));
        }
        Ok(jobs)
    }

    fn plan(&self) -> SearchPlan {
        SearchPlan {
            reduce: self.reduce,
            permute: self.permute,
            limit: self.limit,
            seed: self.random_seed,
            after: self.after.clone(),
        }
    }

    fn of_file(&self, path: &Path) -> Result<Vec<ExploreJob>, CliError> {
        let script = Arc::new(Script::read(path).map_err(|error| CliError::Usage(error.to_string()))?);
        let job = |variant: &ScriptVariant| ExploreJob {
            subject: execution::subject(&script, variant, &path.display().to_string()),
            what: JobSubject::File(Arc::clone(&script), variant.clone()),
            plan: self.plan(),
        };
        let wanted = |variant: &&ScriptVariant| self.variant.as_ref().is_none_or(|name| variant.to_string() == *name);
        let jobs: Vec<ExploreJob> = script.variants.iter().filter(wanted).map(job).collect();
        if jobs.is_empty() {
            let there: Vec<String> =
                script.variants.iter().map(|variant| format!("{:?}", variant.to_string())).collect();
            return usage(format!(
                "--variant: {:?} is none of those of {}: {}",
                self.variant.as_deref().unwrap_or_default(),
                path.display(),
                there.join(", ")
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
        let mut not_there = None;
        for approach in self.approaches()? {
            match self.amend(approach) {
                Ok(amend) => jobs.extend(
                    scenarios.iter().flat_map(|scenario| self.of_approach(approach, *scenario, amend.as_ref())),
                ),
                // Of several approaches, those that have the text are explored.
                Err(error) => not_there = Some(error),
            }
        }
        if let Some(error) = not_there.filter(|_| jobs.is_empty()) {
            return usage(format!("--without: {error}"));
        }
        if jobs.is_empty() {
            return usage("--approach: none of these offers any of these scenarios".to_owned());
        }
        Ok(jobs)
    }

    fn of_approach(
        &self,
        approach: Approach,
        scenario: ExploreScenario,
        amend: Option<&Arc<Mutation>>,
    ) -> Vec<ExploreJob> {
        let mut jobs = Vec::new();
        let wanted = |piece: &TestCase| match self.servers.as_deref() {
            Some("one") => piece.servers == Servers::One,
            Some(_) => piece.servers == Servers::Each || pieces(approach, scenario, self.clients).len() == 1,
            None => true,
        };
        for piece in pieces(approach, scenario, self.clients).into_iter().filter(wanted) {
            for isolation in self.levels() {
                for crash in self.crashes() {
                    let piece = TestCase { isolation, amend: amend.cloned(), crash, ..piece.clone() };
                    let subject = subject(approach, &piece);
                    jobs.push(ExploreJob { subject, what: JobSubject::Approach(piece), plan: self.plan() });
                }
            }
        }
        jobs
    }

    /// What is taken out of an approach's SQL.
    fn amend(&self, approach: Approach) -> Result<Option<Arc<Mutation>>, TextNotFound> {
        let amend = self.without.as_ref().map(|text| Mutation::new(approach.strategy(), text, ""));
        Ok(amend.transpose()?.map(Arc::new))
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
            approach(name).map_err(|there| CliError::Usage(format!("--approach: {name:?} is unknown; {there}, {ALL}")))
        });
        found.collect()
    }
}

fn scenario(name: &str) -> Result<ExploreScenario, CliError> {
    name.parse().map_err(|_| {
        CliError::Usage(format!(
            "{name:?} is no scenario; there are {}; or the name of an explore file, which ends in .toml",
            ExploreScenario::VARIANTS.join(", ")
        ))
    })
}
