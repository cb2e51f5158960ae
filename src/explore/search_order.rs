//! The orders in which the interleavings of an exploration can be run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

/// In which order the interleavings are run.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Display, EnumString, VariantNames, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum SearchOrder {
    /// All of them, depth first. With a limit these are the first ones, which begin alike: no sample.
    #[default]
    DepthFirst,
    /// A sample: independent random walks, each interleaving equally likely if nothing waits.
    Walks,
    /// A sample by random priorities (PCT), which favours interleavings in which the actor changes rarely.
    #[serde(rename = "pct")]
    #[strum(serialize = "pct")]
    Priorities,
}
