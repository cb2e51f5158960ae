//! HTTP load by `concurrency-lab run`, with everything that it records, on the route that touches no database. It shows
//! which part of wrk's rate the lab's own load generator reaches.

use std::path::Path;
use std::time::Duration;

use concurrency_lab::lab::results::Run;
use concurrency_lab::lab::target::Target;

use crate::points::CONNECTIONS;
use crate::results::Measured;
use crate::{Failure, environment};

/// Measures answers per second.
pub async fn measure(target: &Target, time: Duration) -> Result<Measured, Failure> {
    let out = tempfile::tempdir().map_err(Failure::environment)?;
    let mut command = environment::program();
    command.args(["run", "withdrawal", "--format=json"]).arg("--out").arg(out.path());
    command.arg(format!("--target=http://{}", target.address)).arg(format!("--concurrency={CONNECTIONS}"));
    command.arg("--routes").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/side_by_side/ceiling.toml"));
    command.arg(format!("--duration={}s", time.as_secs()));
    let said = environment::run(&mut command, time).await?;
    let run: Run = serde_json::from_str(&said).map_err(|error| Failure::Untrue(format!("run: {error}: {said}")))?;
    let round = run.results.first().and_then(|result| result.rounds.first());
    let round = round.ok_or_else(|| Failure::Untrue(format!("run: no round: {said}")))?;
    let counts = &round.judgement.counts;
    if counts.not_done + counts.unknown + counts.unexpected + counts.refused > 0 {
        return Err(Failure::Untrue(format!("run: answers that are not 200: {counts:?}")));
    }
    #[expect(clippy::cast_precision_loss, reason = "milliseconds, for display")]
    let p99_ms = Some(round.latency.p99_us as f64 / 1e3);
    Ok(Measured { per_second: round.rate_per_s, p99_ms, unanswered: 0 })
}
