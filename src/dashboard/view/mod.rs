//! Markup, made from models. A view knows no route and no service.
//!
//! From the lowest to the highest; each imports only from those before it:
//!
//! - [`links`]: addresses of pages, and how times are written
//! - [`render_cache`]: markup that is rendered once for all viewers
//! - [`frame`]: what every page has: head, navigation, footer, content security policy
//! - [`chapter`]: the text of an approach
//! - [`sample_requests`]: one request to an approach, as curl and as a form
//! - [`evidence_cell`]: a claim beside its evidence
//! - [`approach_interleavings`]: what enumeration found of an approach
//! - [`archive_notes`]: which folders are not shown, and why
//! - [`experiment_forms`]: the forms that start an experiment
//! - [`run_progress`], [`exploration_progress`]: how far a run or an exploration is
//! - [`snapshot_parts`]: the state of the experiment as parts of a page
//! - [`lock_view`]: sessions, locks, and which session waits for which
//! - [`position_board`]: a position of the player as a table

pub mod approach_interleavings;
pub mod archive_notes;
pub mod chapter;
pub mod evidence_cell;
pub mod experiment_forms;
pub mod exploration_progress;
pub mod frame;
pub mod links;
pub mod lock_view;
pub mod position_board;
pub mod render_cache;
pub mod run_progress;
pub mod sample_requests;
pub mod snapshot_parts;
