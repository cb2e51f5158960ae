//! The table that a run prints: the verdict first.

use std::fmt;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

use super::load::Load;
use super::referee::Judgement;
use super::target::ClaimFound;

/// Claim and evidence together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was found that no serial execution explains.
    Correct,
    /// Claimed broken, and shown broken.
    BrokenAsClaimed,
    /// Claimed broken, but this run did not show it.
    HeldThisTime,
    /// Claimed safe, and shown broken: the claim failed.
    ClaimFailed,
    /// Nothing was answered that says anything about the approach.
    NoEvidence,
}

impl Verdict {
    /// What a judgement means for a claim; `servers` is how many were raced as one.
    #[must_use]
    pub fn of(judgement: &Judgement, claim: ClaimFound, servers: usize) -> Self {
        let claimed_safe = match claim {
            ClaimFound::Safe => true,
            ClaimFound::SafeOnOneServer => servers == 1,
            ClaimFound::Broken | ClaimFound::Unsupported => false,
        };
        if !judgement.has_evidence() {
            return Self::NoEvidence;
        }
        match (claimed_safe, judgement.broken()) {
            (true, false) => Self::Correct,
            (true, true) => Self::ClaimFailed,
            (false, true) => Self::BrokenAsClaimed,
            (false, false) => Self::HeldThisTime,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Correct => "correct",
            Self::BrokenAsClaimed => "BROKEN",
            Self::HeldThisTime => "held this time",
            Self::ClaimFailed => "CLAIM FAILED",
            Self::NoEvidence => "no evidence",
        })
    }
}

/// One approach's run.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name.
    pub approach: String,
    /// Claim and evidence.
    pub verdict: Verdict,
    /// What the answers prove.
    pub judgement: Judgement,
    /// The balance in the end.
    pub final_balance: i64,
    /// What was heard.
    pub load: Load,
}

/// One rule, under the headings: more would outweigh a row a line.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// The table of a run.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(STYLE).set_header([
        "verdict",
        "approach",
        "accepted",
        "refused",
        "other",
        "final balance",
        "lost updates",
        "req/s",
        "p50 ms",
        "p99 ms",
        "attempts",
    ]);
    for row in rows {
        let judgement = &row.judgement;
        let latency_ms = |quantile| format!("{:.1}", as_ms(row.load.latency_us.value_at_quantile(quantile)));
        table.add_row([
            row.verdict.to_string(),
            row.approach.clone(),
            judgement.accepted.to_string(),
            judgement.refused.to_string(),
            (judgement.not_done + judgement.unknown + judgement.unexpected).to_string(),
            row.final_balance.to_string(),
            judgement.lost_updates.to_string(),
            format!("{:.0}", rate_per_s(&row.load)),
            latency_ms(0.50),
            latency_ms(0.99),
            mean_attempts(&row.load),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// What else the referee found, a line each; empty when there is nothing to add to the table.
#[must_use]
pub fn findings(rows: &[Row]) -> Vec<String> {
    let mut lines = Vec::new();
    for Row { approach, judgement, .. } in rows {
        let found = [
            (judgement.unexpected, "answers that a valid change must never get"),
            (judgement.overdrafts, "balances below 0"),
            (judgement.duplicate_versions, "writes with a version that another write has too"),
            (judgement.missing_versions, "versions that nobody wrote"),
            (judgement.wrong_refusals, "refusals although the money was there"),
            (u64::from(judgement.wrong_final_state), "final state that is not what the last write left"),
        ];
        lines.extend(
            found.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{approach}: {count} {what}")),
        );
        if judgement.not_done > 0 {
            lines.push(format!("{approach}: gave up {} times (503): not done, and no violation", judgement.not_done));
        }
        if judgement.unknown > 0 {
            lines.push(format!(
                "{approach}: {} requests of unknown outcome; both outcomes were allowed",
                judgement.unknown
            ));
        }
    }
    lines
}

#[expect(clippy::cast_precision_loss, reason = "figures for people: three digits matter")]
fn rate_per_s(load: &Load) -> f64 {
    load.heard.len() as f64 / load.elapsed.as_secs_f64().max(1e-9)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people: three digits matter")]
fn as_ms(us: u64) -> f64 {
    us as f64 / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "figures for people: three digits matter")]
fn mean_attempts(load: &Load) -> String {
    match load.with_attempts {
        0 => "n/a".to_owned(),
        answers => format!("{:.2}", load.attempts as f64 / answers as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_claim_and_evidence() {
        let good = Judgement { accepted: 1, ..Judgement::default() };
        let bad = Judgement { lost_updates: 1, ..good };
        assert_eq!(
            Verdict::of(&Judgement { not_done: 9, ..Judgement::default() }, ClaimFound::Safe, 1),
            Verdict::NoEvidence
        );
        let table = [
            (ClaimFound::Safe, 1, Verdict::Correct, Verdict::ClaimFailed),
            (ClaimFound::Safe, 2, Verdict::Correct, Verdict::ClaimFailed),
            (ClaimFound::SafeOnOneServer, 1, Verdict::Correct, Verdict::ClaimFailed),
            (ClaimFound::SafeOnOneServer, 2, Verdict::HeldThisTime, Verdict::BrokenAsClaimed),
            (ClaimFound::Broken, 1, Verdict::HeldThisTime, Verdict::BrokenAsClaimed),
        ];
        for (claim, servers, held, broke) in table {
            assert_eq!(Verdict::of(&good, claim, servers), held, "{claim:?} on {servers}");
            assert_eq!(Verdict::of(&bad, claim, servers), broke, "{claim:?} on {servers}");
        }
    }
}
