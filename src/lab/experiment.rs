//! A run: rounds of load on each approach in turn, each with its history and its judgement.
//!
//! A round is: reset, warm up, reset, read the rows, load, read the rows, judge. What is judged is read back from the
//! history's file: the referee sees what anybody will see who checks that file. The order of the approaches rotates
//! from round to round, so that none of them always meets the machine in the same state.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek as _, SeekFrom, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::live::OnSlice;
use super::load::{self, LoadError};
use super::plan::{Contestant, LoadPlan, RunConditions};
use super::recorder::{AnswerCounts, RecordedRound};
use super::responses_log;
use super::results::{ApproachResult, Generator, Round, RunVerdict};
use super::routes::RouteCall;
use super::rows;
use super::target::{Target, TargetError};
use referee::history::file::{self, HistoryError, HistoryReader};
use referee::history::{HistoryState, RoundTitle};
use referee::judge;
use referee::judgement::Judgement;

/// Batches of answers that may wait for the recorder: with 256 answers each some 10 MB.
const BATCHES_WAITING: usize = 128;

/// Rows that a report shows.
const ROWS_SHOWN: usize = 10;

/// Who wants to know how it goes.
pub trait RunObserver: Send + Sync {
    /// A round begins; the number of answers is counted here.
    fn begins(&self, title: &RoundTitle, conditions: &RunConditions, answered: &Arc<AtomicU64>);

    /// Takes a slice of the load as soon as it is over, on the recorder's thread; `None` if nobody looks on, which costs nothing.
    fn live(&self) -> Option<OnSlice> {
        None
    }

    /// The load of a round is over; the referee begins.
    fn judging(&self) {}

    /// A round is judged.
    fn ends(&self, title: &RoundTitle, round: &Round);
}

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file of the run.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The history that was just written cannot be read.
    #[error("cannot read the history: {0}")]
    History(#[from] HistoryError),
    /// A target that shows other rows than the first one: no replica of it.
    #[error(
        "the target {0} shows other rows than the first one: several targets are raced as replicas on one database"
    )]
    NoReplica(SocketAddr),
    /// The rows went on changing after the load.
    #[error("the rows still changed {} s after the load", rows::SETTLE_MAX.as_secs())]
    NeverSettled,
    /// A thread died.
    #[error("a thread died: {0}")]
    Died(#[from] tokio::task::JoinError),
}

/// A file of the run's folder.
#[derive(Debug)]
struct RunFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl RunFile {
    fn create(path: PathBuf) -> Result<Self, RunError> {
        match File::create(&path) {
            Ok(file) => Ok(Self { path, file: BufWriter::with_capacity(1 << 16, file) }),
            Err(error) => Err(RunError::Write { path, error }),
        }
    }

    fn written(&self, result: io::Result<()>) -> Result<(), RunError> {
        result.map_err(|error| RunError::Write { path: self.path.clone(), error })
    }
}

/// A run's files, and when to end.
pub struct Experiment {
    history: Option<RunFile>,
    log: RunFile,
    stop: CancellationToken,
    observer: Arc<dyn RunObserver>,
}

impl Experiment {
    /// Makes the files in a run's folder. `stop` ends the run early, with what there is.
    ///
    /// # Errors
    /// [`RunError::Write`].
    pub fn new(folder: &Path, stop: CancellationToken, observer: Arc<dyn RunObserver>) -> Result<Self, RunError> {
        let history = Some(RunFile::create(folder.join("history.jsonl"))?);
        Ok(Self { history, log: RunFile::create(folder.join("responses.log"))?, stop, observer })
    }

    /// Races the contestants on these targets, and adds their rounds to `results`: also of a race that ends with an error.
    /// `point` is the point of a sweep (parameter and value).
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn race(
        &mut self,
        conditions: &RunConditions,
        targets: &[Target],
        contestants: &[Contestant],
        point: Option<(&str, &str)>,
        results: &mut Vec<ApproachResult>,
    ) -> Result<(), RunError> {
        let mut found: Vec<_> = contestants
            .iter()
            .map(|contestant| ApproachResult::new(&contestant.name, contestant.claim, point.map(|(_, value)| value)))
            .collect();
        let ended = self.take_turns(conditions, targets, contestants, point, &mut found).await;
        // An approach whose turn never came says nothing.
        results.extend(found.into_iter().filter(|result| !result.rounds.is_empty()));
        ended
    }

    async fn take_turns(
        &mut self,
        conditions: &RunConditions,
        targets: &[Target],
        contestants: &[Contestant],
        point: Option<(&str, &str)>,
        results: &mut [ApproachResult],
    ) -> Result<(), RunError> {
        for round in 1..=conditions.repeat {
            for turn in 0..contestants.len() {
                if self.stop.is_cancelled() {
                    return Ok(());
                }
                let at = (turn + round as usize - 1) % contestants.len();
                let title = RoundTitle {
                    scenario: conditions.work.scenario().to_string(),
                    approach: contestants[at].name.clone(),
                    claim: contestants[at].claim,
                    servers: u32::try_from(targets.len()).unwrap_or(u32::MAX),
                    round,
                    point: point.map(|(parameter, value)| format!("{parameter}={value}")),
                };
                let Some((round, lost)) = self.round(conditions, targets, &contestants[at], &title).await? else {
                    return Ok(());
                };
                self.observer.ends(&title, &round);
                results[at].push(round);
                if let Some(error) = lost {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// One round, and why its target cannot be asked any more, if that is so. `None` if the run was ended before it began.
    async fn round(
        &mut self,
        conditions: &RunConditions,
        targets: &[Target],
        contestant: &Contestant,
        title: &RoundTitle,
    ) -> Result<Option<(Round, Option<RunError>)>, RunError> {
        let answered = Arc::new(AtomicU64::new(0));
        self.observer.begins(title, conditions, &answered);
        let plan =
            LoadPlan { targets: targets.to_vec(), contestant: contestant.clone(), conditions: conditions.clone() };
        if !conditions.warmup.is_zero() {
            self.reset(conditions, &targets[0], contestant).await?;
            let warmup = LoadPlan { conditions: conditions.for_warmup(), ..plan.clone() };
            let stop = self.stop.clone();
            tokio::task::spawn_blocking(move || load::run(warmup, Arc::default(), &stop, None)).await??;
        }
        self.reset(conditions, &targets[0], contestant).await?;
        let before = rows::read(conditions, &targets[0], contestant).await?;
        for replica in &targets[1..] {
            if rows::read(conditions, replica, contestant).await? != before {
                return Err(RunError::NoReplica(replica.address));
            }
        }
        if self.stop.is_cancelled() {
            return Ok(None);
        }
        let (generator, mut recorded, began_at) = self.load(title, plan, &before, answered).await?;
        // What nobody heard the end of may still be under way. And the load may have ended because its target did.
        let after = match recorded.open {
            0 => rows::read(conditions, &targets[0], contestant).await,
            _ => rows::settled(conditions, &targets[0], contestant).await,
        };
        let (after, lost) = match after {
            Ok(after) => (Some(after), None),
            Err(RunError::NeverSettled) => (None, None),
            Err(error) => (None, Some(error)),
        };
        let heading = [Some(title.approach.clone()), title.point.clone(), Some(format!("round {}", title.round))];
        let heading = heading.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let logged = responses_log::write(&mut self.log.file, &heading, &recorded.answers);
        let logged = logged.and_then(|()| self.log.file.flush());
        self.log.written(logged)?;
        let distinct_answers = recorded.answers.distinct();
        // The referee needs the memory.
        recorded.answers = AnswerCounts::default();
        self.observer.judging();
        let judgement = self.judge(began_at, recorded.operations, after.as_ref()).await?;
        if recorded.operations == 0 && self.stop.is_cancelled() {
            return Ok(None);
        }
        Ok(Some((round(title, judgement, generator, &recorded, distinct_answers, after.as_ref()), lost)))
    }

    async fn reset(
        &self,
        conditions: &RunConditions,
        target: &Target,
        contestant: &Contestant,
    ) -> Result<(), RunError> {
        if let Some(RouteCall { method, path, body }) = &contestant.routes.reset {
            let seed: &str = conditions.work.seed().into();
            let path = format!("{}{}", contestant.base, path.fill_seed(seed));
            let body = body.as_ref().map_or_else(String::new, |body| body.fill_seed(seed));
            target.ask(method.clone(), &path, body).await?;
        }
        Ok(())
    }

    /// The load, its history written. Also tells where in the file the round begins.
    async fn load(
        &mut self,
        title: &RoundTitle,
        plan: LoadPlan,
        before: &HistoryState,
        answered: Arc<AtomicU64>,
    ) -> Result<(Generator, RecordedRound, u64), RunError> {
        let Some(mut out) = self.history.take() else { unreachable!("it is put back below") };
        let mut began_at = 0;
        let started = out.file.stream_position().and_then(|at| {
            began_at = at;
            file::write_start(&mut out.file, title, before)
        });
        out.written(started)?;
        let (heard, hears) = sync_channel(BATCHES_WAITING);
        let live = self.observer.live();
        let recorder = tokio::task::spawn_blocking(move || {
            let recorded = RecordedRound::new().record_all(&hears, &mut out.file, live);
            (out, recorded)
        });
        // Not its clone: a recorder that fails ends this round, and the run by its error.
        let stop = self.stop.child_token();
        let load = tokio::task::spawn_blocking(move || load::run(plan, answered, &stop, Some(heard)));
        let generator = load.await?;
        let (out, recorded) = recorder.await?;
        let recorded = recorded.map_err(|error| RunError::Write { path: out.path.clone(), error });
        self.history = Some(out);
        Ok((generator?, recorded?, began_at))
    }

    /// Ends the round in the file, and judges what is written there.
    async fn judge(
        &mut self,
        began_at: u64,
        operations: u64,
        after: Option<&HistoryState>,
    ) -> Result<Judgement, RunError> {
        let Some(out) = &mut self.history else { return Ok(Judgement::default()) };
        let written = file::write_end(&mut out.file, operations, after).and_then(|()| out.file.flush());
        out.written(written)?;
        let path = out.path.clone();
        tokio::task::spawn_blocking(move || Ok(judge_written(&path, began_at)?)).await?
    }
}

fn judge_written(path: &Path, began_at: u64) -> Result<Judgement, HistoryError> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(began_at))?;
    let read = HistoryReader::new(BufReader::with_capacity(1 << 16, file)).next_round()?;
    Ok(read.map_or_else(Judgement::default, |read| judge(&read.history)))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn round(
    title: &RoundTitle,
    judgement: Judgement,
    generator: Generator,
    recorded: &RecordedRound,
    distinct_answers: u64,
    after: Option<&HistoryState>,
) -> Round {
    let elapsed_s = Duration::from_nanos(recorded.last_returned_ns).as_secs_f64();
    let shown = after.into_iter().flatten().take(ROWS_SHOWN);
    let final_values: BTreeMap<String, i64> = shown.map(|(row, state)| (row.to_string(), state.seen.value)).collect();
    Round {
        round: title.round,
        verdict: RunVerdict::of(&judgement, title.claim, title.servers),
        judgement,
        elapsed_s,
        rate_per_s: recorded.decided as f64 / elapsed_s.max(1e-9),
        latency: recorded.latency(),
        attempts: recorded.mean_attempts(),
        retried: recorded.retried,
        distinct_answers,
        series: recorded.series(),
        waits: recorded.traces.waits(),
        final_values,
        generator,
    }
}
