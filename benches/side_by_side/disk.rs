//! The disk alone: how often a second it makes 8 kB durable, one after the other.
//!
//! It is what a commit on a hot row waits for, and what changes most on a shared machine. It is no upper limit: commits
//! that do not wait for each other's row share a write.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Failure;

/// A page of PostgreSQL's write-ahead log.
const PAGE: [u8; 8192] = [0x5a; 8192];

/// Pages in the file, which are written round and round as in a segment of the log that is used again.
const PAGES: u64 = 256;

/// Writes a second.
pub async fn measure(dir: &Path, time: Duration) -> Result<f64, Failure> {
    let path = dir.join("side-by-side.tmp");
    let measured = tokio::task::spawn_blocking(move || {
        let measured = File::create(&path).and_then(|file| write(&file, time));
        let removed = std::fs::remove_file(&path);
        measured.and_then(|rate| removed.map(|()| rate))
    });
    measured.await.map_err(Failure::environment)?.map_err(Failure::environment)
}

fn write(file: &File, time: Duration) -> std::io::Result<f64> {
    for page in 0..PAGES {
        file.write_all_at(&PAGE, page * PAGE.len() as u64)?;
    }
    file.sync_all()?;
    let started = Instant::now();
    let mut writes = 0_u32;
    while started.elapsed() < time {
        file.write_all_at(&PAGE, u64::from(writes) % PAGES * PAGE.len() as u64)?;
        // As `wal_sync_method` is by default on Linux.
        file.sync_data()?;
        writes += 1;
    }
    Ok(f64::from(writes) / started.elapsed().as_secs_f64())
}
