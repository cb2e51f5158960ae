//! The handlers: each extracts the services that it needs, and answers with a page, a stream of events or a JSON body.
//!
//! - [`extractors`]: JSON bodies, and the permission to start experiments
//! - [`assets`]: style sheets and scripts
//! - [`overview`]: the matrix of approaches and workloads
//! - [`approach`]: one approach
//! - [`experiment`], [`experiment_stream`]: the experiment under way, and its live updates
//! - [`runs`]: earlier experiments
//! - [`player_page`], [`player`]: the interleaving player, and the requests of its script
//! - [`locks`]: the sessions that wait for locks

pub mod approach;
pub mod assets;
pub mod experiment;
pub mod experiment_stream;
pub mod extractors;
pub mod locks;
pub mod overview;
pub mod player;
pub mod player_page;
pub mod runs;
