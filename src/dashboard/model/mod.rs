//! What the dashboard knows, as data: no markup, no route and no service. The archive reads the run folder; everything else is pure.
//!
//! - [`permission`]: which requests may start and stop experiments
//! - [`archive`]: the results of earlier experiments, and what they say about a claim
//! - [`experiment_request`]: what a page may ask for
//! - [`snapshot`]: the state of the experiment at one moment; [`live_round`]: the round under load
//! - [`lock_sample`]: the sessions of a PostgreSQL server at one moment; [`wait_tree`]: which session waits for which;
//!   [`known_statements`]: the names of the lab's own statements
//! - [`player_choice`]: the interleaving that a viewer has chosen

pub mod archive;
pub mod experiment_request;
pub mod known_statements;
pub mod live_round;
pub mod lock_sample;
pub mod permission;
pub mod player_choice;
pub mod snapshot;
pub mod wait_tree;

use crate::explore::findings::{Exploration, Subject};
use crate::feed::FeedEvent;
use crate::lab::results::Round;
use referee::history::RoundTitle;

/// What the process of an experiment writes, and the dashboard reads.
pub type ExperimentEvent = FeedEvent<RoundTitle, Round, Subject, Exploration>;
