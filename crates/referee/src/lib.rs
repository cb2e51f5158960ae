//! The referee: what a history proves.

pub mod history;
mod judge;
pub mod judgement;

pub use judge::judge;
