//! Which folders of the run folder are not shown, and why.

use maud::{Markup, html};

use crate::dashboard::model::archive::{ArchiveListing, NEWEST};
use crate::report::figures::counted;

/// Unreadable folders that are named; the others are counted.
const UNREADABLE_SHOWN: usize = 50;

/// The older experiments that are left out, and the folders that cannot be read.
#[must_use]
pub fn left_out(listing: &ArchiveListing) -> Markup {
    html! {
        @if listing.left_out > 0 {
            p.soft #left-out {
                "Only the newest " (NEWEST) " experiments are shown and counted; " (listing.left_out) " older ones are not."
            }
        }
        @if !listing.unreadable.is_empty() {
            details #unreadable {
                summary { (counted(listing.unreadable.len() as u64, "folder")) " of the run folder without a readable result" }
                ul {
                    @for (name, why) in listing.unreadable.iter().take(UNREADABLE_SHOWN) { li { code { (name) } ": " (why) } }
                    @if listing.unreadable.len() > UNREADABLE_SHOWN { li { "and " (listing.unreadable.len() - UNREADABLE_SHOWN) " more" } }
                }
            }
        }
    }
}
