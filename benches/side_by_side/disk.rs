//! The disk alone: how many sequential writes of 8 kB per second it makes durable.
//!
//! A commit on a hot row waits for such a write, and on a shared machine its time varies most. The figure is not an
//! upper limit: commits that do not wait for each other's row share a write.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Failure;

/// A page of PostgreSQL's write-ahead log.
const PAGE: [u8; 8192] = [0x5a; 8192];

/// Pages in the file. They are written over and over, as in a recycled segment of the log.
const PAGES: u64 = 256;

/// Measures writes per second.
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
        // The same system call as the default of `wal_sync_method` on Linux.
        file.sync_data()?;
        writes += 1;
    }
    Ok(f64::from(writes) / started.elapsed().as_secs_f64())
}
