//! One command during an interleaving, as its attendant sees it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use nix::unistd::Pid;
use postgres_proxy::{ClientUnit, ConnectionId, UnitPermit};
use tokio::sync::mpsc;

use super::actor_record::ActorRecord;
use super::app_connection::AppConnection;
use super::running_command::ExitedCommand;
use crate::explore::schedule::Actor;

/// A step that waits.
#[derive(Debug)]
pub struct HeldStep {
    pub connection: ConnectionId,
    pub unit: Arc<ClientUnit>,
    pub permit: Option<UnitPermit>,
}

/// A step that was let go.
#[derive(Debug)]
pub struct StepUnderWay {
    pub connection: ConnectionId,
    pub unit: u64,
    /// Its statement is prepared, and will be executed by the next unit of the connection.
    pub is_prepared: bool,
}

/// A command, its connections, and where it stands.
#[derive(Debug)]
pub struct AttendedCommand {
    pub actor: Actor,
    pub address: SocketAddr,
    pub group: Pid,
    pub connections: BTreeMap<ConnectionId, AppConnection>,
    /// The units that are not answered.
    pub units: BTreeMap<(ConnectionId, u64), Arc<ClientUnit>>,
    pub waiting: VecDeque<HeldStep>,
    /// The first of `waiting` was announced.
    pub is_announced: bool,
    pub step: Option<StepUnderWay>,
    /// Receives the word that its step may go; none without a gate, or once the runner has ended.
    pub go: Option<mpsc::Receiver<()>>,
    /// Since when its program is at work.
    pub since: Instant,
    pub record: ActorRecord,
    pub exited: Option<ExitedCommand>,
    pub has_ended: bool,
}

impl AttendedCommand {
    pub fn new(actor: Actor, address: SocketAddr, group: Pid, go: Option<mpsc::Receiver<()>>) -> Self {
        Self {
            actor,
            address,
            group,
            connections: BTreeMap::new(),
            units: BTreeMap::new(),
            waiting: VecDeque::new(),
            is_announced: false,
            step: None,
            go,
            since: Instant::now(),
            record: ActorRecord::default(),
            exited: None,
            has_ended: false,
        }
    }

    pub fn is_connected(&self) -> bool {
        !self.connections.is_empty()
    }
}

/// An actor whose steps the runner lets go.
pub trait AnnouncesSteps {
    /// Receives the word that its step may go, if the runner knows of a step; none without a gate, or once the runner has ended.
    fn announced(&mut self) -> Option<&mut Option<mpsc::Receiver<()>>>;
}

impl AnnouncesSteps for AttendedCommand {
    fn announced(&mut self) -> Option<&mut Option<mpsc::Receiver<()>>> {
        self.is_announced.then_some(&mut self.go)
    }
}

/// The next actor whose step may go.
pub async fn next_go(actors: &mut [impl AnnouncesSteps]) -> usize {
    std::future::poll_fn(|context| {
        for (index, actor) in actors.iter_mut().enumerate() {
            let Some(word) = actor.announced() else { continue };
            let Some(go) = word else { continue };
            match go.poll_recv(context) {
                Poll::Ready(Some(())) => return Poll::Ready(index),
                Poll::Ready(None) => {
                    // The runner has ended, so the gate is open.
                    *word = None;
                    return Poll::Ready(index);
                }
                Poll::Pending => {}
            }
        }
        Poll::Pending
    })
    .await
}
