//! HTTP load by wrk, with the repository's own scripts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use concurrency_lab::lab::target::Target;
use tokio::process::Command;

use crate::points::{CROWD, Load, answer_timeout};
use crate::results::Measured;
use crate::{Failure, environment};

/// wrk's own threads.
pub const THREADS: u32 = 2;

/// The program and its scripts.
pub struct Wrk {
    scripts: PathBuf,
    version: String,
}

impl Wrk {
    /// Checks that wrk is installed.
    pub async fn find() -> Result<Self, Failure> {
        // wrk prints its version and then exits with an error.
        let said = Command::new("wrk").arg("-v").kill_on_drop(true).output().await.map_err(|error| {
            Failure::Environment(format!("cannot run wrk: {error}\nscripts/setup.sh test installs it"))
        })?;
        let said = [said.stdout, said.stderr].concat();
        let version = String::from_utf8_lossy(&said).split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        Ok(Self { scripts: Path::new(env!("CARGO_MANIFEST_DIR")).join("lua"), version })
    }

    /// Its name and version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Measures requests per second that were answered with 2xx, and their latency. Any other answer is a failure,
    /// except late answers to the crowd.
    pub async fn measure(
        &self,
        target: &Target,
        path: &str,
        load: Load,
        connections: u32,
        time: Duration,
    ) -> Result<Measured, Failure> {
        let mut command = Command::new("wrk");
        command.arg(format!("-t{THREADS}")).arg(format!("-c{connections}")).arg(format!("-d{}s", time.as_secs()));
        command.arg("--latency").arg(format!("--timeout={}s", answer_timeout(connections).as_secs()));
        command.arg("-s").arg(self.scripts.join(load.script()));
        command.arg(format!("http://{}{}{path}", target.address, target.base));
        let said = environment::run(&mut command, time).await?;
        measured(&said, connections == CROWD).map_err(|reason| Failure::Untrue(format!("wrk: {reason}:\n{said}")))
    }
}

fn measured(said: &str, may_be_late: bool) -> Result<Measured, &'static str> {
    // From the scripts' own counts, and from wrk's lines, which it prints only if there were errors.
    let counted = |answers: &str| {
        let line = said.lines().find(|line| line.contains(answers)).ok_or("the script did not count the answers")?;
        let number = line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
        number.ok_or("the script's count is not a number")
    };
    let unanswered = counted("none: connect")?;
    if counted("above 399")? != 0 || said.contains("Non-2xx") {
        return Err("answers that are not 2xx");
    }
    if !may_be_late && (unanswered != 0 || said.contains("Socket errors:")) {
        return Err("requests without an answer");
    }
    let after = |label: &str| said.lines().find_map(|line| line.trim().strip_prefix(label).map(str::trim));
    match after("Requests/sec:").and_then(|rate| rate.parse().ok()) {
        Some(per_second) if per_second > 0.0 => {
            Ok(Measured { per_second, p99_ms: after("99%").and_then(milliseconds), unanswered })
        }
        _ => Err("no requests"),
    }
}

/// A time as wrk writes it.
fn milliseconds(text: &str) -> Option<f64> {
    let number = text.trim_end_matches(char::is_alphabetic);
    let in_ms = match &text[number.len()..] {
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        "m" => 60e3,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * in_ms)
}
