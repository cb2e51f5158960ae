//! A file of an application as data: requests to a server, commands, or both.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::request_script::RequestScript;
use crate::explore::file::expect::Expect;
use crate::explore::file::script::{Invariant, SerialCheck};

/// Requests and commands of a file at most. Their statements are not known before they run, and four have too many interleavings for a full
/// search.
pub const ACTORS_MAX: usize = 4;

/// Requests of a file at most.
pub const REQUESTS_MAX: usize = 3;

/// Instances of an application at most.
pub const INSTANCES_MAX: u8 = 4;

/// A file of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppFile {
    /// Its name in the report.
    pub title: String,
    /// What the file shows, and why. May be empty.
    pub story: String,
    /// SQL that prepares the database, once.
    pub setup: Option<String>,
    /// A program that prepares the database, once, after the SQL.
    pub prepare: Option<String>,
    /// SQL that is executed once after the first start of the application, which may have made its tables.
    pub seed: Option<String>,
    /// The application, if there are requests.
    pub service: Option<ServiceScript>,
    /// What is interleaved, `A` first: the requests, then the commands.
    pub actors: Vec<ActorScript>,
    /// What must be true at every end.
    pub invariants: Vec<Invariant>,
    /// A query that returns the final state. Without it, the rows of all tables are.
    pub outcome: Option<String>,
    /// How every end must equal that of some serial order.
    pub serial: SerialCheck,
    /// What is expected.
    pub expect: Expect,
    /// Where its programs run: the folder of the file.
    pub folder: PathBuf,
}

/// An application that answers HTTP requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceScript {
    /// What a shell runs.
    pub start: String,
    /// Variables of its environment, beside those of the database and `PORT`.
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    pub folder: PathBuf,
    /// A request that is answered below 400 once the application is ready; without it, an open port is enough.
    pub ready: Option<RequestScript>,
    /// Where it listens; without it, at a free port that it is told.
    pub port: Option<u16>,
    /// How many processes of it run. The requests go to them in turn.
    pub instances: u8,
    /// Texts of statements that belong to no request. They go at once.
    pub ignore: Vec<String>,
    /// What comments in the statements say of the request that sent them.
    pub tags: StatementTags,
    /// What is put back before each interleaving.
    pub reset: ServiceReset,
}

/// What a comment in a statement, such as `/*req=A*/` or sqlcommenter's `traceparent`, is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementTags {
    /// Nothing.
    Unread,
    /// It names the request that sent the statement.
    Used,
    /// It is compared with the request that was found without it.
    Compared,
}

/// What is put back before each interleaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceReset {
    /// The rows. The application goes on, with its connections.
    Rows,
    /// The rows, and the application is started anew.
    Restart,
}

/// What is interleaved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActorScript {
    /// A request to the application.
    Request(RequestScript),
    /// A program that runs to its end.
    Command(CommandScript),
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandScript {
    /// What a shell runs.
    pub run: String,
    /// Variables of its environment, beside those of the database.
    pub env: BTreeMap<String, String>,
}

impl ActorScript {
    /// What it does, in one line.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Request(request) => request.title(),
            Self::Command(command) => command.run.split_whitespace().collect::<Vec<_>>().join(" "),
        }
    }

    /// The request, if it is one.
    #[must_use]
    pub fn request(&self) -> Option<&RequestScript> {
        match self {
            Self::Request(request) => Some(request),
            Self::Command(_) => None,
        }
    }
}

impl AppFile {
    /// The programs that it runs, in order.
    pub fn programs(&self) -> impl Iterator<Item = &str> {
        let commands = self.actors.iter().filter_map(|actor| match actor {
            ActorScript::Command(command) => Some(command.run.as_str()),
            ActorScript::Request(_) => None,
        });
        let service = self.service.iter().map(|service| service.start.as_str());
        self.prepare.iter().map(String::as_str).chain(service).chain(commands)
    }

    /// What its actors are called together.
    #[must_use]
    pub fn actors_in_words(&self) -> &'static str {
        let requests = self.actors.iter().filter(|actor| actor.request().is_some()).count();
        match requests {
            0 => "commands",
            all if all == self.actors.len() => "requests",
            _ => "requests and commands",
        }
    }
}
