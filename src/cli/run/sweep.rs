//! `--sweep pool-size=2,4,8`: the same run for each value of one parameter.

use std::str::FromStr;
use std::time::Duration;

use strum::{Display, EnumString, VariantNames};

use super::arguments::{self, CONCURRENCY_MAX, RunArgs};

/// The most values. Each is a whole run.
const VALUES_MAX: usize = 50;

/// A parameter of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum SweepParameter {
    /// Database connections. `run` starts its server anew for each value.
    PoolSize,
    /// The number of clients.
    Concurrency,
    /// Rows that the requests are spread over.
    HotRows,
    /// Pause before each statement that writes.
    ThinkTime,
}

/// A value of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SweepValue {
    Number(u64),
    Time(Duration),
}

/// A parameter and its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepPlan {
    /// The parameter.
    pub parameter: SweepParameter,
    values: Vec<(String, SweepValue)>,
}

impl FromStr for SweepPlan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = SweepParameter::VARIANTS.join(", ");
        let (name, values) = text.split_once('=').ok_or("expected PARAMETER=VALUE,VALUE,…")?;
        let parameter: SweepParameter = name.parse().map_err(|_| format!("expected {names}, found {name:?}"))?;
        let values: Vec<_> = values
            .split(',')
            .map(|value| Ok((value.to_owned(), parameter.value(value).map_err(|why| format!("{value:?}: {why}"))?)))
            .collect::<Result<_, String>>()?;
        if values.len() > VALUES_MAX {
            return Err(format!("expected at most {VALUES_MAX} values, found {}", values.len()));
        }
        if let Some(again) = values.iter().enumerate().find(|(at, value)| values[..*at].contains(value)) {
            return Err(format!("{:?} is given twice", again.1.0));
        }
        Ok(Self { parameter, values })
    }
}

impl SweepParameter {
    fn value(self, text: &str) -> Result<SweepValue, String> {
        let bounds = match self {
            Self::ThinkTime => return arguments::think_time(text).map(SweepValue::Time),
            Self::PoolSize => 2..=1_000,
            Self::Concurrency => 1..=u64::from(CONCURRENCY_MAX),
            Self::HotRows => 1..=1_000,
        };
        let expected = || format!("expected {} to {}", bounds.start(), bounds.end());
        text.parse().ok().filter(|number| bounds.contains(number)).map(SweepValue::Number).ok_or_else(expected)
    }
}

impl SweepPlan {
    /// The values, as given on the command line.
    pub fn values(&self) -> Vec<String> {
        self.values.iter().map(|(text, _)| text.clone()).collect()
    }

    /// The numbers of rows, in a sweep of `hot-rows`.
    pub fn hot_rows(&self) -> impl Iterator<Item = u64> {
        let swept = self.parameter == SweepParameter::HotRows;
        self.values.iter().filter_map(move |(_, value)| match value {
            SweepValue::Number(rows) if swept => Some(*rows),
            _ => None,
        })
    }

    /// Each value, with the options that it gives. A sweep of the pool size also sets `--row-sessions` to the pool size, because the
    /// sweep is to show all connections waiting for one row in PostgreSQL. `rows_given` says that the user set `--row-sessions`.
    pub fn points(&self, options: &RunArgs, rows_given: bool) -> Vec<(String, RunArgs)> {
        let point = |(text, value): &(String, SweepValue)| {
            let mut options = options.clone();
            match (self.parameter, *value) {
                (SweepParameter::PoolSize, SweepValue::Number(size)) => {
                    options.limits.pool_size = size;
                    if !rows_given {
                        options.limits.row_sessions = size;
                    }
                }
                (SweepParameter::Concurrency, SweepValue::Number(clients)) => {
                    options.concurrency = u32::try_from(clients).unwrap_or(CONCURRENCY_MAX);
                }
                (SweepParameter::HotRows, SweepValue::Number(rows)) => options.hot_rows = Some(rows),
                (_, SweepValue::Time(time)) => options.think_time = Some(time),
                (SweepParameter::ThinkTime, SweepValue::Number(_)) => {}
            }
            (text.clone(), options)
        };
        self.values.iter().map(point).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_names_a_parameter_and_its_values() {
        let sweep: SweepPlan = "pool-size=2,4,8".parse().unwrap();
        assert_eq!(
            (sweep.parameter, sweep.values()),
            (SweepParameter::PoolSize, ["2", "4", "8"].map(str::to_owned).into())
        );
        assert_eq!("hot-rows=1,10".parse::<SweepPlan>().unwrap().hot_rows().collect::<Vec<_>>(), [1, 10]);
        assert!("think-time=0ms,5ms".parse::<SweepPlan>().is_ok());
        for (text, reason) in [
            ("pool-size", "PARAMETER=VALUE"),
            ("pool=2", "expected pool-size, concurrency, hot-rows, think-time, found"),
            ("pool-size=1", "\"1\": expected 2 to 1000"),
            ("pool-size=2,,4", "\"\": expected 2 to 1000"),
            ("pool-size=2,2", "\"2\" is given twice"),
            ("think-time=2s", "whole milliseconds"),
            ("concurrency=x", "expected 1 to 50000"),
        ] {
            let error = text.parse::<SweepPlan>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
