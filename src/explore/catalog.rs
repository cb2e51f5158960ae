//! What there is to explore: approaches × scenarios, on one server and on one each, at one isolation level or another.

use std::sync::Arc;

use strum::IntoEnumIterator as _;

use super::execution::TestCase;
use super::findings::{Servers, Subject};
use super::mutation::Mutation;
use super::scenario::ExploreScenario;
use crate::strategy::{Approach, Claim};
use referee::history::ClaimedSafety;

/// The approaches that read, decide in the application, and write. `explore --isolation` shows how the level changes them.
pub fn read_decide_write() -> impl Iterator<Item = Approach> {
    Approach::iter().filter(|approach| approach.info().read_decide_write)
}

/// The pieces for an approach in a scenario; none if it does not offer it. Where an approach keeps something in its process, the clients are
/// put on one server and on one each.
#[must_use]
pub fn pieces(approach: Approach, scenario: ExploreScenario, clients: u8) -> Vec<TestCase> {
    let info = approach.info();
    let claim = info.claims.of(scenario.workload());
    if claim == Claim::Unsupported {
        return Vec::new();
    }
    let in_process = info.batches || claim == Claim::SafeOnOneServer;
    let servers: &[Servers] = if in_process { &[Servers::One, Servers::Each] } else { &[Servers::One] };
    let safe = |servers: &Servers| claim == Claim::Safe || *servers == Servers::One && claim == Claim::SafeOnOneServer;
    let piece = |servers: &Servers| TestCase {
        strategy: approach.strategy(),
        scenario,
        clients,
        servers: *servers,
        isolation: None,
        amend: None,
        // A proof needs every step that another client could come between. To refute, whole statements are enough.
        commits_apart: safe(servers),
        crash: None,
    };
    servers.iter().map(piece).collect()
}

/// What a report says of a piece.
#[must_use]
pub fn subject(approach: Approach, piece: &TestCase) -> Subject {
    let info = approach.info();
    let claim = info.claims.of(piece.scenario.workload());
    let in_process = info.batches || claim == Claim::SafeOnOneServer;
    let unchanged = piece.isolation.is_none() && piece.amend.is_none();
    Subject {
        scenario: piece.scenario.to_string(),
        approach: approach.name().to_owned(),
        file: None,
        clients: u32::from(piece.clients),
        servers: in_process.then_some(piece.servers),
        isolation: piece.isolation.map(|isolation| isolation.sql().to_owned()),
        without: piece.amend.as_ref().map(|amend: &Arc<Mutation>| amend.told().to_owned()),
        crash: piece.crash.map(|crash| crash.kind),
        // Nothing is promised of what is no longer the approach, or in the midst of a crash that it does not claim to survive.
        claim: if unchanged && (piece.crash.is_none() || info.crash_atomic) {
            claim.into()
        } else {
            ClaimedSafety::Unsupported
        },
    }
}

impl From<Claim> for ClaimedSafety {
    fn from(claim: Claim) -> Self {
        match claim {
            Claim::Safe => Self::Safe,
            Claim::SafeOnOneServer => Self::SafeOnOneServer,
            Claim::Broken => Self::Broken,
            Claim::Unsupported => Self::Unsupported,
        }
    }
}
