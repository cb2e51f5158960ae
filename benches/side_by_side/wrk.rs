//! HTTP load by wrk, with the repository's own scripts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use concurrency_lab::lab::target::Target;
use tokio::process::Command;

use crate::points::Load;
use crate::{Failure, stage};

/// Connections, each of which waits for its answer before it asks again: a closed loop.
pub const CONNECTIONS: u32 = 64;

/// wrk's own threads.
pub const THREADS: u32 = 2;

/// An answer later than this counts as none. Longer than any wait in these queues.
const ANSWER_TIMEOUT_S: u32 = 20;

/// The program and its scripts.
pub struct Wrk {
    scripts: PathBuf,
    version: String,
}

impl Wrk {
    /// Makes sure that it is there.
    pub async fn find() -> Result<Self, Failure> {
        // It says its version and then ends as if that were a fault.
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

    /// Requests a second that were answered with 2xx; anything else is a failure.
    pub async fn measure(&self, target: &Target, path: &str, load: Load, time: Duration) -> Result<f64, Failure> {
        let script = match load {
            Load::Hot => "patch_request.lua",
            Load::Cold => "random_user.lua",
        };
        let mut command = Command::new("wrk");
        command.arg(format!("-t{THREADS}")).arg(format!("-c{CONNECTIONS}")).arg(format!("-d{}s", time.as_secs()));
        command.arg(format!("--timeout={ANSWER_TIMEOUT_S}s")).arg("-s").arg(self.scripts.join(script));
        command.arg(format!("http://{}{}{path}", target.address, target.base));
        let said = stage::run(&mut command, time).await?;
        requests_per_second(&said).map_err(|reason| Failure::Untrue(format!("wrk: {reason}:\n{said}")))
    }
}

fn requests_per_second(said: &str) -> Result<f64, &'static str> {
    // By the scripts' own count, and by wrk's lines, which it prints only if there is something to complain of.
    for (answers, complaint) in
        [("above 399", "answers that are not 2xx"), ("none: connect", "requests without an answer")]
    {
        let line = said.lines().find(|line| line.contains(answers)).ok_or("the script did not count the answers")?;
        if line.split_whitespace().next() != Some("0") {
            return Err(complaint);
        }
    }
    if said.contains("Socket errors:") || said.contains("Non-2xx") {
        return Err("errors");
    }
    let rate = said.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    match rate.and_then(|rate| rate.trim().parse().ok()) {
        Some(rate) if rate > 0.0 => Ok(rate),
        _ => Err("no requests"),
    }
}
