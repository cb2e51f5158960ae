//! The lab: race the approaches over HTTP like any client, then judge them by what they answered.
//!
//! - [`scenario`]: what is sent, and to which data
//! - [`routes`]: how that is said to a server, ours or a stranger's, and how its answers are understood
//! - [`target`]: who is raced: a server elsewhere, or one of our own in another process
//! - [`client`]: one keep-alive connection
//! - [`plan`]: what a round is to be; [`load`]: many clients at once
//! - [`recorder`], [`waits`]: what they heard, written and counted
//! - [`live`]: figures of a load while it runs
//!
//! The history of a round, and the verdict on it, are those of the crate [`referee`].
//!
//! - [`rows`]: the rows before and after
//! - [`experiment`]: rounds of all this, one approach after the other
//! - [`results`]: what a run found
//! - [`reports`], [`responses_log`]: what people and programs read of it

pub mod client;
pub mod experiment;
pub mod live;
pub mod load;
pub mod plan;
pub mod recorder;
pub mod reports;
pub mod responses_log;
pub mod results;
pub mod routes;
pub mod rows;
pub mod scenario;
pub mod target;
pub mod waits;
