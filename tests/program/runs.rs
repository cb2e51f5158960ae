//! What a run leaves, read as a program would: its folder, its run.json.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::common::program;
use crate::served::run_to_end;

/// A run that has ended.
pub struct Run {
    pub code: Option<i32>,
    pub output: String,
    pub errors: String,
    pub out: PathBuf,
}

/// The command of a run that leaves its folder in `out`.
pub fn command(out: &Path, arguments: &[&str]) -> Command {
    let mut command = program();
    command.arg("run").args(arguments).arg("--out").arg(out);
    command
}

/// Makes a run.
pub fn run(out: &Path, arguments: &[&str]) -> Run {
    ended(out, run_to_end(command(out, arguments)))
}

/// The run that this command was.
pub fn ended(out: &Path, (code, output, errors): (Option<i32>, String, String)) -> Run {
    Run { code, output, errors, out: out.to_owned() }
}

/// The one folder that a run made here.
fn folder(out: &Path) -> PathBuf {
    let folders: Vec<_> = std::fs::read_dir(out).expect("the runs").collect();
    assert_eq!(folders.len(), 1, "one folder a run");
    folders[0].as_ref().expect("a folder").path()
}

/// A file of the one folder that a run made here.
pub fn file(out: &Path, name: &str) -> String {
    std::fs::read_to_string(folder(out).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

impl Run {
    /// Its one folder.
    pub fn folder(&self) -> PathBuf {
        folder(&self.out)
    }

    /// A file of its folder.
    pub fn file(&self, name: &str) -> String {
        file(&self.out, name)
    }

    /// What it found.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.file("run.json")).expect("JSON")
    }

    /// What it found of each approach, by name.
    pub fn results(&self) -> Vec<(String, Value)> {
        let results = self.json()["results"].as_array().expect("results").clone();
        results.into_iter().map(|result| (result["approach"].as_str().expect("a name").to_owned(), result)).collect()
    }

    /// What it found of one approach.
    pub fn result(&self, approach: &str) -> Value {
        let found = self.results().into_iter().find(|(name, _)| name == approach);
        found.unwrap_or_else(|| panic!("{approach} took part: {}{}", self.output, self.errors)).1
    }

    /// Which anomalies were found of an approach, over all its rounds.
    pub fn anomalies(&self, approach: &str) -> Vec<String> {
        let result = self.result(approach);
        let rounds = result["rounds"].as_array().expect("rounds");
        let findings =
            rounds.iter().flat_map(|round| round["judgement"]["findings"].as_array().expect("findings").clone());
        findings.map(|finding| finding["anomaly"].as_str().expect("a name").to_owned()).collect()
    }
}
