//! The results of earlier experiments, read from the run folder: runs of `run --out`, experiments that pages started, and explorations whose
//! `explore --format json` was written to `<folder>/explore.json`.
//!
//! The content is not trusted: a folder may be half-written, from another version, or made by another program. A file is read when it is new or
//! has changed, on a thread that may block. [`entry`] is what is remembered of it, and [`evidence`] is what the entries say about an
//! approach.

pub mod entry;
pub mod evidence;

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::explore::findings::ExploreReport;
use crate::explore::report;
use crate::lab::reports::read;
use crate::lab::results::Run;
use entry::ArchiveEntry;

/// The number of newest experiments that are shown: more are not readable on one page, and each takes some milliseconds to read.
pub const NEWEST: usize = 200;

/// Longest file that is read whole, in bytes. The lab's own are below 2 MB, so a much longer one is not the lab's.
const FILE_MAX: u64 = 64 << 20;

/// Longest name of a folder.
const ID_MAX: usize = 100;

/// The file of an exploration.
pub const EXPLORATION: &str = "explore.json";

/// The run folder.
#[derive(Debug, Clone)]
pub struct Archive {
    folder: Arc<Path>,
    known: Arc<Mutex<HashMap<String, CachedFile>>>,
}

/// A file as it was when it was read.
#[derive(Debug)]
struct CachedFile {
    stamp: FileStamp,
    read: Result<Arc<ArchiveEntry>, String>,
}

/// Changes whenever the file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    modified: SystemTime,
    length: u64,
    kind: FolderKind,
}

/// What a folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FolderKind {
    Run,
    Exploration,
}

impl FolderKind {
    fn file(self) -> &'static str {
        match self {
            Self::Run => read::FILE,
            Self::Exploration => EXPLORATION,
        }
    }
}

/// The archive as it is now.
#[derive(Debug, Default)]
pub struct ArchiveListing {
    /// The newest first.
    pub entries: Vec<Arc<ArchiveEntry>>,
    /// Folders without a readable result, by name, and why.
    pub unreadable: Vec<(String, String)>,
    /// How many older ones are left out.
    pub left_out: usize,
}

/// An experiment that was opened.
#[derive(Debug)]
pub enum OpenedExperiment {
    /// A run.
    Run(Box<Run>),
    /// An exploration.
    Exploration(Box<ExploreReport>),
}

impl Archive {
    /// The archive in this folder, which need not exist yet.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder: folder.into(), known: Arc::default() }
    }

    /// Reads what is new, and lists everything.
    pub async fn list(&self) -> ArchiveListing {
        let (folder, known) = (self.folder.clone(), Arc::clone(&self.known));
        let scanned = tokio::task::spawn_blocking(move || {
            // Held while reading, so that no file is read twice at once. Requests that wait for it wait on blocking threads too.
            scan(&folder, &mut known.lock().unwrap_or_else(PoisonError::into_inner))
        });
        scanned.await.unwrap_or_default()
    }

    /// Reads the whole of one experiment by its id; `None` if there is none.
    ///
    /// # Errors
    /// Why its file cannot be read or understood.
    pub async fn open(&self, id: &str) -> Result<Option<OpenedExperiment>, String> {
        let Some(folder) = self.folder_of(id) else { return Ok(None) };
        let opened = tokio::task::spawn_blocking(move || match stamp(&folder) {
            Ok(Some(stamp)) => read(&folder, stamp).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error.to_string()),
        });
        opened.await.unwrap_or_else(|panicked| Err(panicked.to_string()))
    }

    /// The newest run with a result of this approach and of others, or else of this approach alone. Sweeps and stopped runs do not count.
    pub async fn newest_run_of(&self, listing: &ArchiveListing, approach: &str) -> Option<(String, Box<Run>)> {
        let has = |entry: &&Arc<ArchiveEntry>| match &entry.found {
            entry::ArchivedResult::Run(run) => {
                run.ours && !run.swept && !entry.interrupted && entry.approaches().contains(&approach)
            }
            entry::ArchivedResult::Exploration(_) => false,
        };
        let with_others = listing.entries.iter().filter(has).find(|entry| entry.approaches().len() > 1);
        let id = with_others.or_else(|| listing.entries.iter().find(has))?.id.clone();
        match self.open(&id).await {
            Ok(Some(OpenedExperiment::Run(run))) => Some((id, run)),
            _ => None,
        }
    }

    /// The folder with this id. An id is one plain name: no path, no hidden file, and no character that an address would have to escape.
    #[must_use]
    pub fn folder_of(&self, id: &str) -> Option<PathBuf> {
        is_id(id).then(|| self.folder.join(id))
    }
}

fn is_id(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    (1..=ID_MAX).contains(&name.len()) && !name.starts_with('.') && name.chars().all(plain)
}

/// Looks into all folders and reads what is new.
fn scan(folder: &Path, known: &mut HashMap<String, CachedFile>) -> ArchiveListing {
    let mut listing = ArchiveListing::default();
    let mut stamps: Vec<(String, FileStamp)> = Vec::new();
    let folders = match fs::read_dir(folder) {
        Ok(folders) => folders,
        // Without an experiment there is no run folder yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return listing,
        Err(error) => {
            listing.unreadable.push(("the run folder".to_owned(), error.to_string()));
            return listing;
        }
    };
    for found in folders.flatten().filter(|found| found.path().is_dir()) {
        let name = found.file_name().to_string_lossy().into_owned();
        match stamp(&found.path()) {
            _ if !is_id(&name) => {
                listing
                    .unreadable
                    .push((name, format!("the folder's name must have 1 to {ID_MAX} characters of A-Z a-z 0-9 - _ .")));
            }
            Ok(Some(stamp)) => stamps.push((name, stamp)),
            Ok(None) => {
                let missing =
                    format!("has neither {} nor {EXPLORATION}: it is under way, or ended without a result", read::FILE);
                listing.unreadable.push((name, missing));
            }
            Err(error) => listing.unreadable.push((name, error.to_string())),
        }
    }
    stamps.sort_by(|(a_name, a), (b_name, b)| (b.modified, b_name).cmp(&(a.modified, a_name)));
    listing.left_out = stamps.len().saturating_sub(NEWEST);
    stamps.truncate(NEWEST);
    known.retain(|name, _| stamps.iter().any(|(other, _)| other == name));
    for (name, stamp) in stamps {
        if known.get(&name).is_none_or(|known| known.stamp != stamp) {
            let entry = read(&folder.join(&name), stamp).map(|opened| Arc::new(opened.entry(&name)));
            known.insert(name.clone(), CachedFile { stamp, read: entry });
        }
        match known.get(&name).map(|known| &known.read) {
            Some(Ok(entry)) => listing.entries.push(Arc::clone(entry)),
            Some(Err(why)) => listing.unreadable.push((name, why.clone())),
            None => {}
        }
    }
    listing.entries.sort_by(|a, b| (&b.started, &b.id).cmp(&(&a.started, &a.id)));
    listing.unreadable.sort();
    listing
}

/// What a folder holds, and the state of its file; `None` if it holds neither a run nor an exploration.
fn stamp(folder: &Path) -> io::Result<Option<FileStamp>> {
    for kind in [FolderKind::Run, FolderKind::Exploration] {
        match fs::metadata(folder.join(kind.file())) {
            Ok(metadata) if metadata.is_file() => return stamp_of(kind, &metadata).map(Some),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn stamp_of(kind: FolderKind, metadata: &Metadata) -> io::Result<FileStamp> {
    Ok(FileStamp { modified: metadata.modified()?, length: metadata.len(), kind })
}

fn read(folder: &Path, stamp: FileStamp) -> Result<OpenedExperiment, String> {
    let name = stamp.kind.file();
    if stamp.length > FILE_MAX {
        return Err(format!("{name}: has {} MB; at most {} MB are read", stamp.length >> 20, FILE_MAX >> 20));
    }
    let message = |error: &dyn std::fmt::Display| format!("{name}: {error}");
    let text = fs::read(folder.join(name)).map_err(|error| message(&error))?;
    match stamp.kind {
        FolderKind::Run => read::run(&text).map(|run| OpenedExperiment::Run(Box::new(run))),
        FolderKind::Exploration => report::read(&text).map(|report| OpenedExperiment::Exploration(Box::new(report))),
    }
    .map_err(|error| message(&error))
}

impl OpenedExperiment {
    fn entry(&self, id: &str) -> ArchiveEntry {
        match self {
            Self::Run(run) => ArchiveEntry::of_run(id, run),
            Self::Exploration(report) => ArchiveEntry::of_exploration(id, report),
        }
    }
}

#[cfg(test)]
mod tests;
