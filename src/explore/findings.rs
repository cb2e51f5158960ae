//! What explorations found: the report, in its JSON format.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, VariantNames};

use super::schedule::Schedule;
use super::search_order::SearchOrder;
use super::transcript::Transcript;
use referee::history::ClaimedSafety;

/// The version of the JSON format. It is raised when a reader of the version before would misread the new one.
pub const FORMAT: u32 = 1;

/// Everything that one `explore` found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExploreReport {
    /// [`FORMAT`].
    pub format: u32,
    /// When the command began, in UTC (RFC 3339).
    pub started: String,
    /// How long it took, in seconds.
    pub elapsed_s: f64,
    /// The versions of the program and of PostgreSQL.
    pub versions: ExploreVersions,
    /// The command was stopped before everything was explored.
    pub interrupted: bool,
    /// What was explored, in order.
    pub explorations: Vec<Exploration>,
}

/// The versions with which the interleavings were run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExploreVersions {
    /// The version of concurrency-lab, with the commit if it is known.
    pub lab: String,
    /// The version of the PostgreSQL that ran the statements.
    pub postgresql: String,
}

/// What is explored: one cell of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The scenario's name, or the title of an explore file.
    pub scenario: String,
    /// The approach's name. Of an explore file, the variant; empty if the file has only one.
    pub approach: String,
    /// The explore file's path, as it was given.
    pub file: Option<String>,
    /// How many clients.
    pub clients: u32,
    /// The servers of the clients. Only given if the approach keeps something in its process, so that it matters.
    pub servers: Option<Servers>,
    /// The isolation level that every transaction was given, if it was not left to the approach.
    pub isolation: Option<String>,
    /// The text that was taken out of the approach's SQL, if any.
    pub without: Option<String>,
    /// The crash of the first client, after each of its statements in turn.
    pub crash: Option<CrashKind>,
    /// What is claimed.
    pub claim: ClaimedSafety,
}

impl Subject {
    /// Of a file: what it explores, and nothing of the conditions of approaches.
    #[must_use]
    pub fn of_file(title: &str, variant: String, path: &str, clients: usize, claim: ClaimedSafety) -> Self {
        Self {
            scenario: title.to_owned(),
            approach: variant,
            file: Some(path.to_owned()),
            clients: u32::try_from(clients).unwrap_or(u32::MAX),
            servers: None,
            isolation: None,
            without: None,
            crash: None,
            claim,
        }
    }

    /// Whether it is claimed to be safe.
    #[must_use]
    pub fn is_claimed_safe(&self) -> bool {
        self.claim.is_safe(self.servers == Some(Servers::One))
    }
}

/// The servers of the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display)]
#[serde(rename_all = "kebab-case")]
pub enum Servers {
    /// All clients are on one server.
    #[strum(serialize = "one server")]
    One,
    /// Each client is on a server of its own. The servers share one database, as replicas do.
    #[strum(serialize = "a server each")]
    Each,
}

/// A crash in the middle of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display, EnumIter)]
#[serde(rename_all = "kebab-case")]
pub enum CrashKind {
    /// The database connection is cut before the answer of the statement is received.
    #[strum(serialize = "connection cut")]
    Cut,
    /// The client hangs up during the step. Its operation goes on.
    #[strum(serialize = "client hung up")]
    HangUp,
}

impl CrashKind {
    /// The crash and its point, in words.
    #[must_use]
    pub fn at(self, number: u32) -> String {
        match self {
            Self::Cut => format!("{self} after statement {number}"),
            Self::HangUp => format!("{self} during step {number}"),
        }
    }

    /// The value of `--crash` for it.
    #[must_use]
    pub fn option(self, number: u32) -> String {
        match self {
            Self::Cut => format!("--crash=cut:{number}"),
            Self::HangUp => format!("--crash=hang-up:{number}"),
        }
    }
}

/// What the interleavings of one subject show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exploration {
    /// What was explored.
    pub subject: Subject,
    /// Interleavings that were run to their end and judged.
    pub interleavings: u64,
    /// The number of all interleavings: estimated from those that were run, or exact if all were run.
    pub estimate: f64,
    /// Every interleaving was run, or is equivalent to one that was run. False if an earlier search has run a part of them.
    pub complete: bool,
    /// Interleavings that were left out because they are equivalent to others: a lower bound, and 0 without `--reduce`.
    pub pruned: u64,
    /// How the sample was drawn, if only a sample was run.
    #[serde(default)]
    pub sample: Option<SampleFigures>,
    /// The last schedule that was run, if there are more: `--after` continues behind it.
    pub last: Option<Schedule>,
    /// Interleavings in which a session had to wait.
    pub waited: u64,
    /// Interleavings in which PostgreSQL ended a transaction because of a deadlock.
    pub deadlocks: u64,
    /// Interleavings in which a serialization failure (40001) ended an attempt.
    pub conflicts: u64,
    /// Interleavings in which a client gave up: its change was certainly not made, but not refused either.
    pub gave_up: u64,
    /// The distinct outcomes, the most frequent first.
    pub outcomes: Vec<DistinctOutcome>,
    /// Interleavings that no serial order explains.
    pub violations: u64,
    /// The interleavings that could not be decided, and why.
    pub undecided: Vec<String>,
    /// The expectations of an explore file that were not met.
    pub missed: Vec<String>,
    /// What the verdict does not cover, a sentence each.
    #[serde(default)]
    pub limits: Vec<String>,
    /// Of a file of an application, what each request or command does alone, a line each.
    #[serde(default)]
    pub alone: Vec<String>,
    /// Of an explore file, the shortest interleaving of each kind of failure that occurs.
    #[serde(default)]
    pub examples: Vec<FailureExample>,
    /// What the exploration proves.
    pub verdict: ExplorationVerdict,
    /// The shortest violating interleaving.
    pub witness: Option<ViolationWitness>,
    /// How long it took, in seconds.
    pub elapsed_s: f64,
}

/// How a sample of the interleavings was drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleFigures {
    /// The order: `walks`, or `pct`.
    pub order: SearchOrder,
    /// The seed of the random numbers.
    pub seed: u64,
    /// How many different interleavings are in it.
    pub distinct: u64,
    /// The number of all interleavings if, as in this sample, none has a wait and each client always takes as many steps: a multinomial
    /// coefficient. Missing if that is not so in the sample.
    pub all_without_waits: Option<f64>,
    /// The number of all interleavings, as the mean over the walks of the inverse of each one's probability. Missing for `pct`.
    pub mean_estimate: Option<f64>,
}

/// A distinct outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DistinctOutcome {
    /// The answers and the final rows, a line each.
    pub lines: Vec<String>,
    /// The number of interleavings with this outcome.
    pub count: u64,
    /// The names of what is wrong: those of the anomalies, or of an explore file's invariants. Empty if a serial order explains
    /// the outcome.
    pub anomalies: Vec<String>,
    /// The schedule of one of these interleavings.
    pub example: Schedule,
}

/// A violating interleaving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ViolationWitness {
    /// The names of what is wrong, the gravest first.
    pub anomalies: Vec<String>,
    /// What is wrong, in a sentence.
    pub explanation: String,
    /// The statement after which, or the step during which, the first client crashed.
    pub crash_after: Option<u32>,
    /// The interleaving.
    pub transcript: Transcript,
}

/// The shortest interleaving with a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailureExample {
    /// The failure.
    pub failure: FailureKind,
    /// The interleaving.
    pub transcript: Transcript,
}

/// Failures that a session may meet although the end is right.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    Display,
    EnumIter,
    EnumString,
    VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum FailureKind {
    /// PostgreSQL ended a transaction because of a deadlock (40P01).
    Deadlock,
    /// A serialization failure (40001) ended an attempt.
    Conflict,
    /// A session gave up.
    GaveUp,
}

impl FailureKind {
    /// What an interleaving has, in words.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Deadlock => "a deadlock",
            Self::Conflict => "a serialization failure",
            Self::GaveUp => "a session that gave up",
        }
    }
}

/// What an exploration proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum ExplorationVerdict {
    /// A serial order explains every interleaving.
    Proved,
    /// No serial order explains one of the interleavings.
    Broken,
    /// Serial orders explain the interleavings that were run. There are more.
    HeldSoFar,
    /// An interleaving could not be decided, and no violation was found.
    Undecided,
    /// No violation was found, but what happens depends on the time that something takes, which is not explored.
    DependsOnTime,
    /// All outcomes are listed, and nothing says which of them are right.
    NotJudged,
}

impl Exploration {
    /// The number of interleavings with a failure.
    #[must_use]
    pub fn failures(&self, kind: FailureKind) -> u64 {
        match kind {
            FailureKind::Deadlock => self.deadlocks,
            FailureKind::Conflict => self.conflicts,
            FailureKind::GaveUp => self.gave_up,
        }
    }

    /// Whether the result contradicts the claim: a safe approach breaks, no interleaving of a broken one breaks, or an expectation of
    /// an explore file is not met.
    #[must_use]
    pub fn contradicts_claim(&self) -> bool {
        if !self.missed.is_empty() {
            return true;
        }
        if self.subject.claim == ClaimedSafety::Unsupported {
            return false;
        }
        let claimed_safe = self.subject.is_claimed_safe();
        match self.verdict {
            ExplorationVerdict::Broken => claimed_safe,
            ExplorationVerdict::Proved => !claimed_safe,
            ExplorationVerdict::HeldSoFar
            | ExplorationVerdict::Undecided
            | ExplorationVerdict::DependsOnTime
            | ExplorationVerdict::NotJudged => false,
        }
    }
}
