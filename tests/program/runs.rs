//! Runs `concurrency-lab run` and reads the files of the run.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::served::run_to_end;
use crate::common::{OwnDatabase, program};

/// The exit code, the output and the directory of a run that has ended.
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

/// Makes a run and waits for its end. Without a target, the server is its own, with an empty database on the shared PostgreSQL.
pub fn run(out: &Path, arguments: &[&str]) -> Run {
    let mut command = command(out, arguments);
    let has_target = arguments.iter().any(|argument| argument.starts_with("--target"));
    let database = (!has_target).then(OwnDatabase::new);
    if let Some(database) = &database {
        command.env("DATABASE_URL", &database.url);
    }
    let (code, output, errors) = run_to_end(command);
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

/// Starts a run without waiting for it.
pub fn start(out: &Path, arguments: &[&str]) -> Child {
    command(out, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a run")
}

/// Waits for the end of a run that was started.
pub async fn end_of(child: Child, out: &Path) -> Run {
    let output =
        tokio::task::spawn_blocking(move || child.wait_with_output()).await.expect("it ends").expect("its end");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run { code: output.status.code(), output: text(&output.stdout), errors: text(&output.stderr), out: out.to_owned() }
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

    /// Its run.json.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.file("run.json")).expect("JSON")
    }

    /// The results in run.json, by the name of the approach.
    pub fn results(&self) -> Vec<(String, Value)> {
        let results = self.json()["results"].as_array().expect("results").clone();
        results.into_iter().map(|result| (result["approach"].as_str().expect("a name").to_owned(), result)).collect()
    }

    /// The result of one approach.
    pub fn result(&self, approach: &str) -> Value {
        let found = self.results().into_iter().find(|(name, _)| name == approach);
        found.unwrap_or_else(|| panic!("{approach} took part: {}{}", self.output, self.errors)).1
    }

    /// The anomalies of an approach in all its rounds.
    pub fn anomalies(&self, approach: &str) -> Vec<String> {
        let result = self.result(approach);
        let rounds = result["rounds"].as_array().expect("rounds");
        let findings =
            rounds.iter().flat_map(|round| round["judgement"]["findings"].as_array().expect("findings").clone());
        findings.map(|finding| finding["anomaly"].as_str().expect("a name").to_owned()).collect()
    }
}
