//! The rows that a round is about, read from its target before the load and after it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::experiment::RunError;
use super::plan::{Contestant, RunConditions};
use super::target::{Target, TargetError};
use domain::Row;
use referee::history::{HistoryState, RowState};

/// Rows that are read at the same time.
const READING: usize = 16;

/// How long what nobody heard the end of is waited for, and how often the rows are looked at meanwhile.
pub const SETTLE_MAX: Duration = Duration::from_mins(1);
const SETTLE_STEP: Duration = Duration::from_millis(300);

/// Reads all rows that a round is about.
///
/// # Errors
/// [`RunError::Target`].
pub async fn read(
    conditions: &RunConditions,
    target: &Target,
    contestant: &Contestant,
) -> Result<HistoryState, RunError> {
    let reads = conditions.work.examples().iter().find_map(|request| contestant.routes.reading(request)).cloned();
    let Some(read) = reads.map(Arc::new) else { return Ok(HistoryState::new()) };
    let mut state = HistoryState::new();
    let mut reading: JoinSet<Result<(Row, RowState), TargetError>> = JoinSet::new();
    for row in conditions.work.rows() {
        if reading.len() >= READING
            && let Some(read) = reading.join_next().await
        {
            state.extend([read??]);
        }
        let (target, base, read) = (target.clone(), contestant.base.clone(), Arc::clone(&read));
        reading.spawn(async move { Ok((row, target.row(&base, &read, row).await?)) });
    }
    while let Some(read) = reading.join_next().await {
        state.extend([read??]);
    }
    Ok(state)
}

/// The rows once nobody changes them any more: read again and again until two readings agree.
///
/// # Errors
/// As [`read`]; [`RunError::NeverSettled`].
pub async fn settled(
    conditions: &RunConditions,
    target: &Target,
    contestant: &Contestant,
) -> Result<HistoryState, RunError> {
    let begun = Instant::now();
    let mut last = read(conditions, target, contestant).await?;
    while begun.elapsed() < SETTLE_MAX {
        tokio::time::sleep(SETTLE_STEP).await;
        let now = read(conditions, target, contestant).await?;
        if now == last {
            return Ok(now);
        }
        last = now;
    }
    Err(RunError::NeverSettled)
}
