//! Which request a statement on a pooled connection belongs to.
//!
//! The code of only one request runs at a time: the answers that would let a second one go on are withheld. So a statement belongs, in this order,
//! to the request that a tag names; to the one in whose transaction its connection is; to the one that runs; to the only one that waits inside
//! the application. Where several are possible, what each has sent before after the same history decides, or else nothing does.

use super::reactions::Fit;

/// What is known when a statement arrives. Requests are named by their places in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArrivalScene<'s> {
    /// The request that a tag names.
    pub tagged: Option<usize>,
    /// The request in whose transaction the connection is.
    pub in_transaction_of: Option<usize>,
    /// That request can send nothing now: its own statement waits on the same connection.
    pub owner_waits: bool,
    /// The request that runs.
    pub running: Option<usize>,
    /// The requests that wait inside the application.
    pub waiting: &'s [usize],
    /// The request that ran last.
    pub last: Option<usize>,
}

/// Whose a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementOwner {
    /// That of a request.
    Request(usize),
    /// Of one of several requests.
    Ambiguous,
    /// Two requests use one connection at the same time.
    Shared(usize, usize),
    /// No request is under way.
    Stranger,
}

/// Finds the owner. `fit` tells whether a request is known to send this statement where it is.
pub fn owner(scene: ArrivalScene<'_>, fit: impl Fn(usize) -> Fit) -> StatementOwner {
    if let Some(tagged) = scene.tagged {
        return StatementOwner::Request(tagged);
    }
    let others = |but: usize| scene.running.iter().chain(scene.waiting).copied().filter(move |other| *other != but);
    if let Some(owner) = scene.in_transaction_of {
        let sent_by_another = |other: &usize| scene.owner_waits || fit(owner) == Fit::No && fit(*other) == Fit::Yes;
        return match others(owner).find(sent_by_another) {
            Some(other) => StatementOwner::Shared(owner, other),
            None => StatementOwner::Request(owner),
        };
    }
    let candidates: Vec<usize> = scene.running.iter().chain(scene.waiting).copied().collect();
    match (&candidates[..], scene.last) {
        ([only], _) => StatementOwner::Request(*only),
        ([], Some(last)) => StatementOwner::Request(last),
        ([], None) => StatementOwner::Stranger,
        _ => {
            let mut fitting = candidates.iter().filter(|candidate| fit(**candidate) != Fit::No);
            match (fitting.next(), fitting.next()) {
                (Some(only), None) if fit(*only) == Fit::Yes || scene.running == Some(*only) => {
                    StatementOwner::Request(*only)
                }
                _ => StatementOwner::Ambiguous,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENE: ArrivalScene<'_> = ArrivalScene {
        tagged: None,
        in_transaction_of: None,
        owner_waits: false,
        running: None,
        waiting: &[],
        last: None,
    };

    #[test]
    fn the_first_rule_that_decides_names_the_request() {
        use StatementOwner::{Ambiguous, Request, Shared, Stranger};
        let unknown: fn(usize) -> Fit = |_| Fit::Unknown;
        let only_1: fn(usize) -> Fit = |request| if request == 1 { Fit::Yes } else { Fit::No };
        let maybe_1: fn(usize) -> Fit = |request| if request == 1 { Fit::Unknown } else { Fit::No };
        let all: fn(usize) -> Fit = |_| Fit::Yes;
        for (scene, fit, expected) in [
            (ArrivalScene { tagged: Some(1), running: Some(0), ..SCENE }, unknown, Request(1)),
            (ArrivalScene { in_transaction_of: Some(1), running: Some(0), ..SCENE }, unknown, Request(1)),
            (ArrivalScene { running: Some(0), last: Some(1), ..SCENE }, unknown, Request(0)),
            (ArrivalScene { waiting: &[1], last: Some(0), ..SCENE }, unknown, Request(1)),
            (ArrivalScene { last: Some(0), ..SCENE }, unknown, Request(0)),
            (SCENE, unknown, Stranger),
            (ArrivalScene { running: Some(0), waiting: &[1], ..SCENE }, unknown, Ambiguous),
            (ArrivalScene { running: Some(0), waiting: &[1], ..SCENE }, all, Ambiguous),
            (ArrivalScene { running: Some(0), waiting: &[1], ..SCENE }, maybe_1, Ambiguous),
            (ArrivalScene { running: Some(1), waiting: &[0], ..SCENE }, maybe_1, Request(1)),
            (ArrivalScene { running: Some(0), waiting: &[1], ..SCENE }, only_1, Request(1)),
            (ArrivalScene { waiting: &[0, 1], ..SCENE }, only_1, Request(1)),
            // One connection for all requests.
            (ArrivalScene { in_transaction_of: Some(0), waiting: &[1], ..SCENE }, only_1, Shared(0, 1)),
            (
                ArrivalScene { in_transaction_of: Some(0), owner_waits: true, running: Some(1), ..SCENE },
                unknown,
                Shared(0, 1),
            ),
            (
                ArrivalScene { in_transaction_of: Some(0), running: Some(0), waiting: &[1], ..SCENE },
                unknown,
                Request(0),
            ),
        ] {
            assert_eq!(owner(scene, fit), expected, "{scene:?}");
        }
    }
}
