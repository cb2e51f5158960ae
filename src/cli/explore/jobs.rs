//! What the options of `explore` ask for: explorations, or the permutations of specs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ArgMatches;
use strum::{IntoEnumIterator as _, VariantNames as _};

use super::arguments::{ALL, CrashArg, ExploreArgs};
use super::explored_file::{ExploredFile, has_extension};
use crate::cli::CliError;
use crate::cli::options::{approach, given, usage};
use crate::explore::app::{AppFile, app_execution};
use crate::explore::catalog::{read_decide_write, subject, test_cases};
use crate::explore::file::{ScriptVariant, execution};
use crate::explore::findings::Servers;
use crate::explore::mutation::{Mutation, TextNotFound};
use crate::explore::report::ExploreFormat;
use crate::explore::scenario::ExploreScenario;
use crate::explore::search::SearchPlan;
use crate::explore::search_order::SearchOrder;
use crate::explore::spec::grammar::IsolationSpec;
use crate::explore::test_case::{Crash, TestCase};
use crate::explore::worker_pool::{ExploreJob, JobSubject};
use crate::session::statement::Isolation;
use crate::strategy::Approach;

/// Options that say what is explored and how. A report says it as well, and the permutations of a spec are no exploration.
pub(super) const WHAT_AND_HOW: [&str; 13] = [
    "approach",
    "clients",
    "variant",
    "servers",
    "isolation",
    "crash",
    "without",
    "reduce",
    "permute",
    "order",
    "random_seed",
    "stop_at_first",
    "fail_on",
];

/// Further options that the permutations of a spec do not have.
const OF_ONE_SEARCH: [&str; 5] = ["limit", "after", "replay", "format", "html"];

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
        if self.replay.is_some() && self.format == ExploreFormat::Junit && given("format") {
            return usage(
                "--format junit: a replay has no such report; it is printed as a table, or with --format json"
                    .to_owned(),
            );
        }
        let mut jobs = Vec::new();
        if let Some(app) = self.app_of_options()? {
            let path = self.write.as_ref().map_or_else(|| "app.toml".to_owned(), |path| path.display().to_string());
            jobs.push(self.of_app(app, &path)?);
        } else if files.is_empty() || !scenarios.is_empty() {
            jobs.extend(self.of_scenarios(&scenarios)?);
        }
        for file in files {
            jobs.extend(self.of_file(file)?);
        }
        let single = if self.replay.is_some() { Some("--replay") } else { self.after.as_ref().map(|_| "--after") };
        if let Some(option) = single.filter(|_| self.crash.as_ref().is_some_and(|crash| crash.after.is_none())) {
            return usage(format!("{option} needs a single crash point; name it, such as --crash=cut:2"));
        }
        if self.dry_run && jobs.iter().any(|job| !matches!(job.what, JobSubject::App(_))) {
            return usage(
                "--dry-run: only applications have it (docs/APPS.md); name a file with [[request]] or [[command]]"
                    .to_owned(),
            );
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
        if let Some(option) = WHAT_AND_HOW.iter().chain(&OF_ONE_SEARCH).find(|id| given(matches, id)) {
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

    fn of_app(&self, file: AppFile, path: &str) -> Result<ExploreJob, CliError> {
        if self.variant.is_some() {
            return usage(format!(
                "--variant: {path} is a file of an application, which has no variants; leave --variant out"
            ));
        }
        let subject = app_execution::subject(&file, path);
        Ok(ExploreJob { subject, what: JobSubject::App(Arc::new(file)), plan: self.plan() })
    }

    fn of_file(&self, path: &str) -> Result<Vec<ExploreJob>, CliError> {
        let script = match ExploredFile::read(Path::new(path), self.trust_file).map_err(CliError::Usage)? {
            ExploredFile::App(file) => return Ok(vec![self.of_app(*file, path)?]),
            ExploredFile::Script(script) => Arc::new(script),
        };
        let job = |variant: &ScriptVariant| ExploreJob {
            subject: execution::subject(&script, variant, path),
            what: JobSubject::File(Arc::clone(&script), variant.clone()),
            plan: self.plan(),
        };
        let wanted = |variant: &&ScriptVariant| self.variant.as_ref().is_none_or(|name| variant.to_string() == *name);
        let jobs: Vec<ExploreJob> = script.variants.iter().filter(wanted).map(job).collect();
        if jobs.is_empty() {
            let known: Vec<String> =
                script.variants.iter().map(|variant| format!("{:?}", variant.to_string())).collect();
            return usage(format!(
                "--variant: {path} has no variant {:?}; its variants are {}",
                self.variant.as_deref().unwrap_or_default(),
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
