//! The lab: sends load to the approaches over HTTP, as any client would, and judges their answers.
//!
//! - [`scenario`]: which requests are sent, and the data they start from
//! - [`routes`]: the HTTP request for each of them, for our server or another service, and the meaning of the answers
//! - [`target`]: the server under load: one that runs already, or one that `run` starts in another process
//! - [`client`]: one keep-alive connection
//! - [`plan`]: the conditions of a round; [`load`]: many clients at once
//! - [`recorder`], [`waits`]: writes and counts the answers
//! - [`live`]: the figures of a load while it runs
//! - [`rows`]: the rows before and after a round
//! - [`experiment`]: the rounds, one approach after the other; the crate [`referee`] judges their histories
//! - [`results`]: the results of a run
//! - [`reports`], [`responses_log`]: the results for people and for programs

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
