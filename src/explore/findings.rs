//! What an exploration found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter};

use super::schedule::Schedule;
use super::transcript::Transcript;
use referee::history::ClaimedSafety;

/// The format of the JSON: raised when a reader of the one before would misread it.
pub const FORMAT: u32 = 1;

/// Everything that one `explore` found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExploreReport {
    /// [`FORMAT`].
    pub format: u32,
    /// When it began, in UTC (RFC 3339).
    pub started: String,
    /// How long it took, in seconds.
    pub elapsed_s: f64,
    /// Version of the program, and of PostgreSQL.
    pub versions: ExploreVersions,
    /// It was ended before everything asked for was explored.
    pub interrupted: bool,
    /// What was explored, in order.
    pub explorations: Vec<Exploration>,
}

/// Who found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExploreVersions {
    /// Of concurrency-lab, with the commit if it is known.
    pub lab: String,
    /// Of the PostgreSQL that ran the statements.
    pub postgresql: String,
}

/// What is explored: one cell of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The scenario's name, or the title of an explore file.
    pub scenario: String,
    /// The approach's name. Of an explore file, which of its variants this is; empty if it has one only.
    pub approach: String,
    /// The explore file's path, as it was given.
    pub file: Option<String>,
    /// How many clients.
    pub clients: u32,
    /// Where the clients are, if the approach keeps something in its process, so that it matters.
    pub servers: Option<Servers>,
    /// The isolation level that every transaction was made to have, if it was not left to the approach.
    pub isolation: Option<String>,
    /// What was taken away from the SQL for the sake of the experiment.
    pub without: Option<String>,
    /// What happens to the first client, after each of its statements in turn.
    pub crash: Option<CrashKind>,
    /// What is claimed for it.
    pub claim: ClaimedSafety,
}

impl Subject {
    /// Whether what is claimed of it is that it is right.
    #[must_use]
    pub fn is_claimed_safe(&self) -> bool {
        self.claim.is_safe(self.servers == Some(Servers::One))
    }
}

/// Where the clients are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display)]
#[serde(rename_all = "kebab-case")]
pub enum Servers {
    /// All on one server.
    #[strum(serialize = "one server")]
    One,
    /// Each on a server of its own, as replicas on one database.
    #[strum(serialize = "a server each")]
    Each,
}

/// What happens to a client half-way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display, EnumIter)]
#[serde(rename_all = "kebab-case")]
pub enum CrashKind {
    /// Its database connection is cut: the answer of the statement is not heard.
    #[strum(serialize = "connection cut")]
    Cut,
    /// It hangs up while the step is under way; its operation goes on without it.
    #[strum(serialize = "client gone")]
    HangUp,
}

impl CrashKind {
    /// What happens, and when.
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

/// What the interleavings of one subject showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exploration {
    /// Of what.
    pub subject: Subject,
    /// Interleavings that were run to their end and judged.
    pub interleavings: u64,
    /// How many there are in all: as estimated from those that were run, or exactly if all were.
    pub estimate: f64,
    /// Every interleaving was run, or is equivalent to one that was. Not so where an earlier search has run a part of them.
    pub complete: bool,
    /// Interleavings that were left out because they are equivalent to others: a lower bound. 0 without reduction.
    pub pruned: u64,
    /// Where to go on (`--after`), if there are more.
    pub last: Option<Schedule>,
    /// Interleavings in which somebody had to wait.
    pub waited: u64,
    /// Interleavings in which the deadlock detector ended a transaction.
    pub deadlocks: u64,
    /// Interleavings in which a serialization failure (40001) ended an attempt.
    pub conflicts: u64,
    /// Interleavings in which a client gave up: its change was certainly not made, and not refused either.
    pub gave_up: u64,
    /// What came out, the most frequent first.
    pub outcomes: Vec<DistinctOutcome>,
    /// Interleavings whose outcome no serial order explains.
    pub violations: u64,
    /// What could not be decided, in plain words.
    pub undecided: Vec<String>,
    /// What an explore file expects and that is not so, in plain words.
    pub missed: Vec<String>,
    /// What it proves.
    pub verdict: ExplorationVerdict,
    /// The shortest violating interleaving.
    pub witness: Option<ViolationWitness>,
    /// How long it took, in seconds.
    pub elapsed_s: f64,
}

/// One way to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DistinctOutcome {
    /// The answers and the final rows, a line each.
    pub lines: Vec<String>,
    /// How many interleavings ended so.
    pub count: u64,
    /// What is wrong with it, by the names of [`referee::judgement::Anomaly`] or of an explore file's own words; empty if
    /// a serial order explains it.
    pub anomalies: Vec<String>,
    /// One of them.
    pub example: Schedule,
}

/// The evidence against it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ViolationWitness {
    /// What is wrong, by name, the gravest first.
    pub anomalies: Vec<String>,
    /// What is wrong, in a sentence.
    pub explanation: String,
    /// After which statement, or during which step, the first client crashed.
    pub crash_after: Option<u32>,
    /// What happened.
    pub transcript: Transcript,
}

/// What an exploration proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum ExplorationVerdict {
    /// Every interleaving is explained by a serial order.
    Proved,
    /// One is not.
    Broken,
    /// Those that were run are explained; there are more.
    HeldSoFar,
    /// Something could not be decided, and nothing else was found.
    Undecided,
}

impl Exploration {
    /// Whether it contradicts what is claimed: a safe approach that breaks, a broken one whose every interleaving holds, an explore
    /// file whose expectations are not met.
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
            ExplorationVerdict::HeldSoFar | ExplorationVerdict::Undecided => false,
        }
    }
}
