//! The lab: race the approaches over HTTP like any client, then judge them by what they answered.
//!
//! - [`scenario`]: what is sent, and what must come of it
//! - [`target`]: who is raced: a server elsewhere, or one of our own in another process
//! - [`client`]: one keep-alive connection
//! - [`load`]: many of them at once, and what they heard
//! - [`referee`]: pure: what the answers prove
//! - [`report`], [`responses_log`]: what people read

pub mod client;
pub mod history;
pub mod judgement;
pub mod load;
pub mod referee;
pub mod report;
pub mod responses_log;
pub mod results;
pub mod scenario;
pub mod target;
