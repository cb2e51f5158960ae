//! Was it the generator that was the limit? Figures that are its own must not pass for the server's.

use hdrhistogram::Histogram;

use crate::lab::recorder::histogram;
use crate::lab::results::Generator;

/// Significant digits of lateness: it is compared with a limit, not reported to the microsecond.
pub const LATENESS_DIGITS: u8 = 2;

/// A thread that rested for less than this share of the time never waited for the server.
const BUSY_SHARE: f64 = 0.95;

/// A thread that waited for more than this share of the time until what was heard was written sent less because of it.
const BLOCKED_SHARE: f64 = 0.2;

/// An open loop whose generator is later than this by itself, in µs, measures its own delay. Its timer alone is up to 1 ms late.
const LATE_US: u64 = 5_000;

/// How a thread spent its time.
pub struct ThreadIdleTime {
    /// Share of the time in which it had something to do.
    pub busy: f64,
    /// Share of the time in which it waited until what was heard was taken from it.
    pub blocked: f64,
    /// How late it sent what was due while a client was free, in µs.
    pub late_us: Histogram<u64>,
}

/// What the threads' times mean.
pub fn diagnose(rests: &[ThreadIdleTime], cpu_share: f64) -> Generator {
    let mut late_us = histogram(LATENESS_DIGITS);
    for rest in rests {
        // Equal bounds: it cannot fail.
        let _ = late_us.add(&rest.late_us);
    }
    let late_p99_us = late_us.value_at_quantile(0.99);
    let most = |share: fn(&ThreadIdleTime) -> f64| rests.iter().map(share).fold(0.0, f64::max);
    let least_busy = rests.iter().map(|rest| rest.busy).fold(1.0, f64::min);
    let limited = if most(|rest| rest.blocked) > BLOCKED_SHARE {
        Some("it waited for its own history to be written".to_owned())
    } else if least_busy > BUSY_SHARE {
        Some(
            "it had something to do all the time and never waited for the server, which may be faster than this"
                .to_owned(),
        )
    } else if late_p99_us > LATE_US {
        Some("it sent requests too late by itself; their latency counts that as well".to_owned())
    } else {
        None
    };
    Generator { cpu_share, late_p99_us, limited }
}
