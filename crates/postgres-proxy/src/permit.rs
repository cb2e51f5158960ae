//! Permits: what waits for the owner's word.
//!
//! A permit that is dropped lets go what it holds. So an owner that ends, panics or forgets never leaves an application
//! waiting.

use tokio::sync::oneshot;

/// Which units wait for the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeldUnits {
    /// None: the owner only hears of them.
    #[default]
    None,
    /// Those that run something.
    Executing,
    /// All of them. A unit that only parses can matter: it takes the snapshot of a REPEATABLE READ transaction.
    All,
}

/// What the owner decides about a held unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitDecision {
    /// It goes to the server.
    Forward,
    /// It goes to the server, and its answer is held.
    ForwardAndWithhold,
    /// It does not go to the server, and the connection is cut.
    Cut,
}

/// Holds a unit in front of the server.
#[derive(Debug)]
pub struct UnitPermit {
    sender: oneshot::Sender<UnitDecision>,
}

impl UnitPermit {
    pub(crate) fn new() -> (Self, oneshot::Receiver<UnitDecision>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender }, receiver)
    }

    /// Lets the unit go. If the connection has ended meanwhile, nothing happens.
    pub fn release(self) {
        let _ = self.sender.send(UnitDecision::Forward);
    }

    /// Lets the unit go. Its answer waits, complete, for the permit in [`crate::ProxyEventKind::UnitAnswered`].
    pub fn release_and_withhold_answer(self) {
        let _ = self.sender.send(UnitDecision::ForwardAndWithhold);
    }

    /// Never forwards the unit, and cuts its connection.
    pub fn cut(self) {
        let _ = self.sender.send(UnitDecision::Cut);
    }

    /// Whether the unit no longer waits, because its connection has ended.
    #[must_use]
    pub fn is_void(&self) -> bool {
        self.sender.is_closed()
    }
}

/// Holds a complete answer in front of the client.
#[derive(Debug)]
pub struct AnswerPermit {
    sender: oneshot::Sender<()>,
}

impl AnswerPermit {
    pub(crate) fn new() -> (Self, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender }, receiver)
    }

    /// Lets the answer go. If the connection has ended meanwhile, nothing happens.
    pub fn release(self) {
        let _ = self.sender.send(());
    }
}
