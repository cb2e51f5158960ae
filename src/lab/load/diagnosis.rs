//! Finds out whether the load generator was the limit. Its own limit must not be reported as the server's.

use hdrhistogram::Histogram;

use crate::lab::recorder::histogram;
use crate::lab::results::Generator;

/// Significant digits of lateness: it is compared with a limit, not reported to the microsecond.
pub const LATENESS_DIGITS: u8 = 2;

/// A thread that was busy for more than this share of the time never waited for the server.
const BUSY_SHARE: f64 = 0.95;

/// A thread that waited for the recorder for more than this share of the time sent fewer requests because of it.
const BLOCKED_SHARE: f64 = 0.2;

/// A generator that is later than this by itself, in µs, measures its own delay. Its timer alone is up to 1 ms late.
const LATE_US: u64 = 5_000;

/// How a thread spent its time.
pub struct ThreadIdleTime {
    /// The share of the time in which the thread was busy.
    pub busy: f64,
    /// The share of the time in which the thread waited for the recorder.
    pub blocked: f64,
    /// How late the thread sent requests that were due while a client was free, in µs.
    pub late_us: Histogram<u64>,
}

/// The diagnosis from the times of all threads.
pub fn diagnose(threads: &[ThreadIdleTime], cpu_share: f64) -> Generator {
    let mut late_us = histogram(LATENESS_DIGITS);
    for thread in threads {
        // It cannot fail, because both have the same bounds.
        let _ = late_us.add(&thread.late_us);
    }
    let late_p99_us = late_us.value_at_quantile(0.99);
    let most = |share: fn(&ThreadIdleTime) -> f64| threads.iter().map(share).fold(0.0, f64::max);
    let least_busy = threads.iter().map(|thread| thread.busy).fold(1.0, f64::min);
    let limited = if most(|thread| thread.blocked) > BLOCKED_SHARE {
        Some("it waited for its history to be written".to_owned())
    } else if least_busy > BUSY_SHARE {
        Some("it was busy all the time and never waited for the server, which may be faster than this".to_owned())
    } else if late_p99_us > LATE_US {
        Some("it sent requests too late, and their latency includes that delay".to_owned())
    } else {
        None
    };
    Generator { cpu_share, late_p99_us, limited }
}
