//! Ends of serial orders, and whether an interleaving ends like one of them.
//!
//! A session that gave up after a serialization failure, a deadlock or a lock that was not available, and has changed nothing, counts as
//! if it had not taken part. What is left must be what some serial order of the other sessions gives.

use std::collections::{BTreeMap, BTreeSet};

use super::script::SerialCheck;
use super::session_end::{ScriptAnswer, SessionResult};
use crate::explore::schedule::Actor;
use crate::explore::sequence_columns::{is_from_sequence, without_values};
use crate::explore::transcript::GAVE_UP;

/// Errors that a session may give up after without having done anything wrong: 40001, 40P01, 55P03.
const NOT_TAKEN_PART: &[&str] = &["40001", "40P01", "55P03"];

/// How an interleaving or a serial order ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// What each session that took part heard and read.
    sessions: BTreeMap<Actor, (String, Vec<ScriptAnswer>)>,
    /// The final rows: each row's columns as `name = value`.
    rows: Vec<Vec<String>>,
}

/// The final rows, or the rows that statements of this name returned.
type ComparedPlace = Option<String>;

/// The rows of a place that have the same columns.
type RowsByShape<'e> = BTreeMap<(ComparedPlace, Vec<&'e str>), Vec<&'e Vec<String>>>;

/// Values that no comparison can expect to be equal, because they differ between two runs of the same serial order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UncomparedColumns {
    columns: BTreeSet<(ComparedPlace, String)>,
    /// Rows of which even the number differs.
    rows: BTreeSet<(ComparedPlace, Vec<String>)>,
}

impl End {
    /// The end, without the sessions that count as if they had not taken part.
    #[must_use]
    pub fn new(results: &BTreeMap<Actor, SessionResult>, rows: Vec<Vec<String>>) -> Self {
        let sessions = results
            .iter()
            .filter(|(_, result)| took_part(result))
            .map(|(actor, result)| (*actor, (result.heard.clone(), result.answers.clone())))
            .collect();
        Self { sessions, rows }
    }

    /// The sessions that took part.
    #[must_use]
    pub fn participants(&self) -> Vec<Actor> {
        self.sessions.keys().copied().collect()
    }

    /// Whether the end of a serial order is the same, as far as it is compared. The order of rows does not count, because without
    /// ORDER BY it has no meaning.
    #[must_use]
    pub fn equals(&self, serial: &Self, check: SerialCheck, uncompared: &UncomparedColumns) -> bool {
        let heard = |end: &Self| -> Vec<(Actor, String)> {
            end.sessions.iter().map(|(actor, (heard, _))| (*actor, heard.clone())).collect()
        };
        let answers = |end: &Self| -> Vec<(Actor, String, Vec<Vec<String>>)> {
            let of = |(actor, (_, answers)): (&Actor, &(String, Vec<ScriptAnswer>))| {
                let answer = |answer: &ScriptAnswer| {
                    let place = Some(answer.statement.clone());
                    (*actor, answer.statement.clone(), uncompared.without(&place, &answer.rows))
                };
                answers.iter().map(answer).collect::<Vec<_>>()
            };
            end.sessions.iter().flat_map(of).collect()
        };
        heard(self) == heard(serial)
            && uncompared.without(&None, &self.rows) == uncompared.without(&None, &serial.rows)
            && (check == SerialCheck::Rows || answers(self) == answers(serial))
    }

    /// The end without these values, wherever they are.
    #[must_use]
    pub fn without_values(&self, given: &BTreeSet<String>) -> Self {
        let masked = |rows: &[Vec<String>]| -> Vec<Vec<String>> {
            let row = |row: &Vec<String>| row.iter().map(|column| without_values(column, given)).collect();
            rows.iter().map(row).collect()
        };
        let answer = |answer: &ScriptAnswer| ScriptAnswer { rows: masked(&answer.rows), ..answer.clone() };
        let session = |(actor, (heard, answers)): (&Actor, &(String, Vec<ScriptAnswer>))| {
            (*actor, (heard.clone(), answers.iter().map(answer).collect()))
        };
        Self { sessions: self.sessions.iter().map(session).collect(), rows: masked(&self.rows) }
    }

    fn all_rows(&self) -> impl Iterator<Item = (ComparedPlace, &Vec<String>)> {
        let answers = self.sessions.values().flat_map(|(_, answers)| answers);
        let of_answers = answers.flat_map(|answer| answer.rows.iter().map(|row| (Some(answer.statement.clone()), row)));
        self.rows.iter().map(|row| (None, row)).chain(of_answers)
    }

    fn by_shape(&self) -> RowsByShape<'_> {
        let mut found = RowsByShape::new();
        for (place, row) in self.all_rows() {
            found.entry((place, row.iter().map(|value| column(value)).collect())).or_default().push(row);
        }
        found
    }
}

/// Whether a session took part: it has not given up without a change.
fn took_part(result: &SessionResult) -> bool {
    result.changed
        || !result.heard.starts_with(GAVE_UP)
        || !result.sqlstate.as_ref().is_some_and(|sqlstate| NOT_TAKEN_PART.contains(&sqlstate.as_str()))
}

impl UncomparedColumns {
    /// The columns of which values differ between two runs of the same serial order.
    #[must_use]
    pub fn new(one: &End, again: &End) -> Self {
        let (one, mut again) = (one.by_shape(), again.by_shape());
        let mut found = Self::default();
        for ((place, shape), rows) in &one {
            let others = again.remove(&(place.clone(), shape.clone())).unwrap_or_default();
            if rows.len() == others.len() {
                let columns = differing(shape, rows, &others).into_iter();
                found.columns.extend(columns.map(|name| (place.clone(), name.to_owned())));
            } else {
                found.rows.insert((place.clone(), owned(shape)));
            }
        }
        found.rows.extend(again.into_keys().map(|(place, shape)| (place, owned(&shape))));
        found
    }

    /// Leaves out what another comparison of two runs has found, too.
    pub fn extend(&mut self, other: Self) {
        self.columns.extend(other.columns);
        self.rows.extend(other.rows);
    }

    /// The names of the columns of an end that are not compared, those that a sequence fills too.
    #[must_use]
    pub fn found_in(&self, end: &End) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (place, row) in end.all_rows() {
            let left_out = self.leaves_out(&place, row);
            let uncompared = row.iter().filter(|value| {
                left_out || is_from_sequence(value) || self.columns.contains(&(place.clone(), column(value).to_owned()))
            });
            found.extend(uncompared.map(|value| column(value).to_owned()));
        }
        found
    }

    fn leaves_out(&self, place: &ComparedPlace, row: &[String]) -> bool {
        !self.rows.is_empty()
            && self.rows.contains(&(place.clone(), row.iter().map(|value| column(value).to_owned()).collect()))
    }

    /// The rows without these values, in an order that depends on the rest only.
    fn without(&self, place: &ComparedPlace, rows: &[Vec<String>]) -> Vec<Vec<String>> {
        let compared = |value: &&String| !self.columns.contains(&(place.clone(), column(value).to_owned()));
        let kept = |row: &Vec<String>| row.iter().filter(compared).cloned().collect();
        let mut rows: Vec<Vec<String>> = rows.iter().filter(|row| !self.leaves_out(place, row)).map(kept).collect();
        rows.sort();
        rows
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The columns without which these rows are the same, whatever their order. Rows do not keep their places: a random key sorts them anew.
fn differing<'s>(shape: &[&'s str], rows: &[&Vec<String>], others: &[&Vec<String>]) -> BTreeSet<&'s str> {
    let only = |rows: &[&Vec<String>], kept: &dyn Fn(&str) -> bool| {
        let of_row = |row: &&Vec<String>| row.iter().filter(|value| kept(column(value))).cloned().collect();
        let mut rows: Vec<Vec<String>> = rows.iter().map(of_row).collect();
        rows.sort();
        rows
    };
    let same = |kept: &dyn Fn(&str) -> bool| only(rows, kept) == only(others, kept);
    let mut found: BTreeSet<&str> = shape.iter().copied().filter(|name| !same(&|other| other == *name)).collect();
    // Each column by itself may be the same, and not which values stand together.
    for name in shape.iter().rev() {
        if same(&|other| !found.contains(other)) {
            break;
        }
        if let Some(enough) = shape.iter().find(|one| same(&|other| !found.contains(other) && other != **one)) {
            found.insert(enough);
            break;
        }
        found.insert(name);
    }
    found
}

/// The name of a column in `name = value`.
fn column(value: &str) -> &str {
    value.split_once(" = ").map_or(value, |(name, _)| name)
}

/// All orders of these sessions.
#[must_use]
pub fn orders(sessions: &[Actor]) -> Vec<Vec<Actor>> {
    sessions.iter().fold(vec![Vec::new()], |orders, session| {
        let with = |order: Vec<Actor>| {
            (0..=order.len()).map(move |at| {
                let mut longer = order.clone();
                longer.insert(at, *session);
                longer
            })
        };
        orders.into_iter().flat_map(with).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::explore::file::template::Variables;

    fn result(heard: &str, sqlstate: Option<&str>, changed: bool, rows: &[&[&str]]) -> SessionResult {
        let rows = rows.iter().map(|row| row.iter().map(|value| (*value).to_owned()).collect()).collect();
        SessionResult {
            heard: heard.to_owned(),
            answers: vec![ScriptAnswer { statement: "select".to_owned(), rows }],
            sqlstate: sqlstate.map(str::to_owned),
            changed,
            sent: Vec::new(),
            variables: Variables::new(),
        }
    }

    fn end(results: Vec<SessionResult>, rows: &[&[&str]]) -> End {
        let rows = rows.iter().map(|row| row.iter().map(|value| (*value).to_owned()).collect()).collect();
        End::new(&(0..).map(Actor::Client).zip(results).collect(), rows)
    }

    #[test]
    fn an_end_equals_a_serial_one_by_what_is_compared() {
        let none = UncomparedColumns::default();
        let one = end(vec![result("done", None, true, &[&["n = 50"]])], &[&["n = 1"], &["n = 2"]]);
        let other_order = end(vec![result("done", None, true, &[&["n = 50"]])], &[&["n = 2"], &["n = 1"]]);
        let other_answer = end(vec![result("done", None, true, &[&["n = 60"]])], &[&["n = 1"], &["n = 2"]]);
        let other_rows = end(vec![result("done", None, true, &[&["n = 50"]])], &[&["n = 1"], &["n = 3"]]);
        for (serial, rows, answers) in
            [(&one, true, true), (&other_order, true, true), (&other_answer, true, false), (&other_rows, false, false)]
        {
            assert_eq!(one.equals(serial, SerialCheck::Rows, &none), rows, "{serial:?}");
            assert_eq!(one.equals(serial, SerialCheck::RowsAndAnswers, &none), answers, "{serial:?}");
        }
    }

    #[test]
    fn a_session_that_gave_up_and_changed_nothing_has_not_taken_part() {
        for (heard, sqlstate, changed, took_part) in [
            ("gave up: conflict", "40001", false, false),
            ("gave up: deadlock", "40P01", false, false),
            ("gave up: locked", "55P03", false, false),
            ("gave up: conflict", "40001", true, true),
            ("gave up: duplicate", "23505", false, true),
            ("done, in spite of 55P03", "55P03", false, true),
        ] {
            let found = end(vec![result(heard, Some(sqlstate), changed, &[])], &[]).participants();
            assert_eq!(found.len(), usize::from(took_part), "{sqlstate}, changed: {changed}");
        }
    }

    #[test]
    fn what_differs_in_two_runs_of_one_order_is_not_compared() {
        let run =
            |at: &str, n: &str| end(vec![result("done", None, true, &[&[at, n]])], &[&["id = (from a sequence)", n]]);
        let uncompared = UncomparedColumns::new(&run("at = 10:00", "n = 1"), &run("at = 10:01", "n = 1"));
        let (one, other) = (run("at = 10:02", "n = 1"), run("at = 10:03", "n = 2"));
        assert_eq!(uncompared.found_in(&one), ["at", "id"].map(str::to_owned).into());
        assert!(one.equals(&run("at = 10:05", "n = 1"), SerialCheck::RowsAndAnswers, &uncompared));
        assert!(!one.equals(&other, SerialCheck::RowsAndAnswers, &uncompared), "the rest still counts");
    }

    /// Two runs of one order, each row with its columns, and the columns that are not compared.
    type TwoRuns<'a> = (&'a [&'a [&'a str]], &'a [&'a [&'a str]], &'a [&'a str]);

    #[test]
    fn only_the_columns_without_which_two_runs_are_the_same_are_not_compared() {
        let table: &[TwoRuns<'_>] = &[
            // The second run's random keys sort the rows the other way round.
            (&[&["k = 1", "n = a"], &["k = 2", "n = b"]], &[&["k = 3", "n = b"], &["k = 4", "n = a"]], &["k"]),
            (&[&["n = a"], &["n = b"]], &[&["n = b"], &["n = a"]], &[]),
            // The same values, in other pairs.
            (&[&["k = 1", "n = a"], &["k = 2", "n = b"]], &[&["k = 1", "n = b"], &["k = 2", "n = a"]], &["k"]),
            // Rows of another table do not count here.
            (&[&["k = 1", "n = a"], &["m = 1"]], &[&["k = 2", "n = a"], &["m = 1"]], &["k"]),
            // One row more.
            (&[&["k = 1"]], &[&["k = 1"], &["k = 2"]], &["k"]),
        ];
        for (rows, others, expected) in table {
            let (one, again) = (end(vec![], rows), end(vec![], others));
            let uncompared = UncomparedColumns::new(&one, &again);
            let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(uncompared.found_in(&one), expected, "{rows:?} {others:?}");
            assert!(one.equals(&again, SerialCheck::Rows, &uncompared), "{rows:?} {others:?}");
        }
    }

    #[test]
    fn there_are_as_many_orders_as_there_are_permutations() {
        for (sessions, expected) in [(0, 1), (1, 1), (2, 2), (3, 6), (4, 24)] {
            let orders = orders(&(0..sessions).map(Actor::Client).collect::<Vec<_>>());
            let distinct: BTreeSet<&Vec<Actor>> = orders.iter().collect();
            assert_eq!((orders.len(), distinct.len()), (expected, expected));
            assert!(orders.iter().all(|order| order.iter().collect::<BTreeSet<_>>().len() == usize::from(sessions)));
        }
    }
}
