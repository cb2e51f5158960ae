//! The catalog: the test cases that there are. Approaches × scenarios, with all clients on one server or each on its own.

use std::sync::Arc;

use strum::IntoEnumIterator as _;

use super::findings::{Servers, Subject};
use super::mutation::Mutation;
use super::scenario::ExploreScenario;
use super::test_case::TestCase;
use crate::strategy::{Approach, Claim};
use referee::history::ClaimedSafety;

/// The approaches that read, decide in the application, and write. `explore --isolation` shows what each level changes for them.
pub fn read_decide_write() -> impl Iterator<Item = Approach> {
    Approach::iter().filter(|approach| approach.info().read_decide_write)
}

/// The test cases of an approach in a scenario; none if the approach does not support it. If the approach keeps something in its
/// process, there are two: all clients on one server, and each on its own.
#[must_use]
pub fn test_cases(approach: Approach, scenario: ExploreScenario, clients: u8) -> Vec<TestCase> {
    let info = approach.info();
    let claim = info.claims.of(scenario.workload());
    if claim == Claim::Unsupported {
        return Vec::new();
    }
    let in_process = info.batches || claim == Claim::SafeOnOneServer;
    let servers: &[Servers] = if in_process { &[Servers::One, Servers::Each] } else { &[Servers::One] };
    let safe = |servers: &Servers| claim == Claim::Safe || *servers == Servers::One && claim == Claim::SafeOnOneServer;
    let case = |servers: &Servers| TestCase {
        strategy: approach.strategy(),
        scenario,
        clients,
        servers: *servers,
        isolation: None,
        mutation: None,
        // A proof needs every step before which another client can run. To find a violation, whole statements are enough.
        commits_apart: safe(servers),
        crash: None,
    };
    servers.iter().map(case).collect()
}

/// What a report says of a test case.
#[must_use]
pub fn subject(approach: Approach, case: &TestCase) -> Subject {
    let info = approach.info();
    let claim = info.claims.of(case.scenario.workload());
    let in_process = info.batches || claim == Claim::SafeOnOneServer;
    let unchanged = case.isolation.is_none() && case.mutation.is_none();
    Subject {
        scenario: case.scenario.to_string(),
        approach: approach.name().to_owned(),
        file: None,
        clients: u32::from(case.clients),
        servers: in_process.then_some(case.servers),
        isolation: case.isolation.map(|isolation| isolation.sql().to_owned()),
        without: case.mutation.as_ref().map(|mutation: &Arc<Mutation>| mutation.description().to_owned()),
        crash: case.crash.map(|crash| crash.kind),
        // Nothing is claimed of a changed approach, or of a crash that the approach does not claim to survive.
        claim: if unchanged && (case.crash.is_none() || info.crash_atomic) {
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
