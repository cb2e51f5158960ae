//! A `[[schedule]]` of a file: a schedule that is run as a test.

use serde::Deserialize;
use toml::Table;

use super::expect::StatementRef;
use super::expect_table::{find, find_all};
use super::fields::{expected, kind};
use super::script::{ScheduleEnd, ScheduleTest, ScriptVariant, SessionScript};
use crate::explore::schedule::Schedule;

/// A `[[schedule]]`, as TOML has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleTable {
    steps: String,
    isolation: Option<String>,
    waits: Option<Vec<String>>,
    fails: Option<Table>,
    outcome: Option<Vec<String>>,
    anomaly: Option<String>,
    holds: Option<bool>,
}

impl ScheduleTable {
    /// Whether it is for this level.
    pub fn is_of(&self, level: Option<&str>) -> bool {
        self.isolation.is_none() || self.isolation.as_deref() == level
    }

    /// Checks that its level is explored: otherwise it would be left out silently.
    pub fn check_level(&self, variants: &[ScriptVariant]) -> Result<(), String> {
        let Some(level) = &self.isolation else { return Ok(()) };
        if variants.iter().any(|variant| variant.isolation.as_ref() == Some(level)) {
            return Ok(());
        }
        let mut levels: Vec<&str> = variants.iter().filter_map(|variant| variant.isolation.as_deref()).collect();
        levels.dedup();
        Err(expected(&self.field("isolation"), &format!("one of {levels:?}"), format_args!("{level:?}")))
    }

    /// Checks it, and resolves the names in it.
    pub fn check(
        &self,
        sessions: &[SessionScript],
        anomalies: &[String],
        has_outcome: bool,
    ) -> Result<ScheduleTest, String> {
        let steps: Schedule = self.steps.parse().map_err(|error| format!("{}: {error}", self.field("steps")))?;
        let waits = self.waits.as_ref().map(|texts| find_all(&self.field("waits"), sessions, texts)).transpose()?;
        if self.outcome.is_some() && !has_outcome {
            return Err(expected(&self.field("outcome"), "an outcome query in the file beside it", "none"));
        }
        Ok(ScheduleTest {
            steps,
            waits,
            fails: self.fails(sessions)?,
            outcome: self.outcome.clone(),
            ends: self.ends(anomalies)?,
        })
    }

    fn fails(&self, sessions: &[SessionScript]) -> Result<Option<Vec<(StatementRef, String)>>, String> {
        let Some(table) = &self.fails else { return Ok(None) };
        let field = self.field("fails");
        let read = |(text, sqlstate): (&String, &toml::Value)| {
            let statement = find(sessions, text).map_err(|what| expected(&field, &what, format_args!("{text:?}")))?;
            let sqlstate =
                sqlstate.as_str().ok_or_else(|| expected(&field, "an SQLSTATE such as \"40001\"", kind(sqlstate)))?;
            Ok::<_, String>((statement, sqlstate.to_owned()))
        };
        table.iter().map(read).collect::<Result<_, _>>().map(Some)
    }

    fn ends(&self, anomalies: &[String]) -> Result<Option<ScheduleEnd>, String> {
        match (&self.anomaly, self.holds) {
            (None, None) => Ok(None),
            (None, Some(true)) => Ok(Some(ScheduleEnd::Holds)),
            (Some(anomaly), None | Some(false)) if anomalies.contains(anomaly) => {
                Ok(Some(ScheduleEnd::Anomaly(anomaly.clone())))
            }
            (Some(anomaly), None | Some(false)) => {
                Err(expected(&self.field("anomaly"), &format!("one of {anomalies:?}"), format_args!("{anomaly:?}")))
            }
            (Some(_), Some(true)) => Err(expected(&self.field("holds"), "no anomaly beside it", "one")),
            (None, Some(false)) => Err(expected(&self.field("holds"), "true, or an anomaly in its place", "false")),
        }
    }

    fn field(&self, field: &str) -> String {
        format!("schedule {}: {field}", self.steps)
    }
}
