//! The results of earlier experiments, read from the run folder: runs of `run --out`, experiments that pages started, and explorations whose
//! `explore --format json` was written to `<folder>/explore.json`.
//!
//! The content is not trusted: a folder may be half-written, from another version, or made by another program or user. So links are not followed,
//! only regular files are opened, and length, number and memory are bounded. A file is read when it is new or has changed, on a thread
//! that may block, and only one request reads at a time. [`entry`] is what is remembered of it, and [`evidence`] is what the entries say
//! about an approach.

pub mod entry;
pub mod evidence;

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{READING_WAIT, REMEMBERED_BYTES, RUN_FOLDERS, SHOWN_FILE_BYTES};
use crate::explore::findings::ExploreReport;
use crate::explore::report;
use crate::lab::reports::read;
use crate::lab::results::Run;
use crate::report::input_file::{InputFileError, read_in};
use crate::report::printable::beginning;
use entry::ArchiveEntry;

/// The number of newest experiments that are shown: more are not readable on one page, and each takes some milliseconds to read.
pub const NEWEST: usize = 200;

/// How the whole folder is named among those that cannot be read.
const RUN_FOLDER: &str = "the run folder";

/// Longest reason why a file cannot be read, in characters: serde repeats what it found.
const REASON_MAX: usize = 500;

/// Longest name of a folder.
const ID_MAX: usize = 100;

/// The file of an exploration.
pub const EXPLORATION: &str = "explore.json";

/// The run folder.
#[derive(Debug, Clone)]
pub struct Archive {
    folder: Arc<Path>,
    known: Arc<Mutex<HashMap<String, CachedFile>>>,
    turns: Arc<Semaphore>,
}

/// The right to read results. A result may take much memory, so a page keeps its turn until it is made of the result.
#[derive(Debug, Clone)]
pub struct ReadingTurn {
    _permit: Arc<OwnedSemaphorePermit>,
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
        Self { folder: folder.into(), known: Arc::default(), turns: Arc::new(Semaphore::new(1)) }
    }

    /// Waits until no other request reads.
    ///
    /// # Errors
    /// Others read for too long.
    pub async fn turn(&self) -> Result<ReadingTurn, String> {
        let turn = tokio::time::timeout(READING_WAIT, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(permit)) = turn else {
            let seconds = READING_WAIT.as_secs();
            return Err(format!("other pages have read results for more than {seconds} s; load this page again later"));
        };
        Ok(ReadingTurn { _permit: Arc::new(permit) })
    }

    /// Reads what is new, and lists everything.
    pub async fn list(&self) -> ArchiveListing {
        let turn = match self.turn().await {
            Ok(turn) => turn,
            Err(why) => return ArchiveListing::unreadable(why),
        };
        let (folder, known) = (self.folder.clone(), Arc::clone(&self.known));
        let scanned = tokio::task::spawn_blocking(move || {
            // The request may be gone; the next one waits for this thread all the same.
            let _turn = turn;
            scan(&folder, &mut known.lock().unwrap_or_else(PoisonError::into_inner))
        });
        scanned.await.unwrap_or_else(|panicked| ArchiveListing::unreadable(panicked.to_string()))
    }

    /// Reads the whole of one experiment by its id; `None` if there is none.
    ///
    /// # Errors
    /// Why its file cannot be read or understood.
    pub async fn open(&self, turn: &ReadingTurn, id: &str) -> Result<Option<OpenedExperiment>, String> {
        let Some(folder) = self.folder_of(id) else { return Ok(None) };
        let turn = turn.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            match stamp(&folder) {
                Ok(Some(stamp)) => read(&folder, stamp).map(Some),
                Ok(None) => Ok(None),
                Err(why) => Err(why),
            }
        });
        opened.await.unwrap_or_else(|panicked| Err(panicked.to_string()))
    }

    /// The newest run with a result of this approach and of others, or else of this approach alone. Sweeps and stopped runs do not count.
    pub async fn newest_run_of(
        &self,
        turn: &ReadingTurn,
        listing: &ArchiveListing,
        approach: &str,
    ) -> Option<(String, Box<Run>)> {
        let has = |entry: &&Arc<ArchiveEntry>| match &entry.found {
            entry::ArchivedResult::Run(run) => {
                run.ours && !run.swept && !entry.interrupted && entry.approaches().contains(&approach)
            }
            entry::ArchivedResult::Exploration(_) => false,
        };
        let with_others = listing.entries.iter().filter(has).find(|entry| entry.approaches().len() > 1);
        let id = with_others.or_else(|| listing.entries.iter().find(has))?.id.clone();
        match self.open(turn, &id).await {
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
        Err(error) => return ArchiveListing::unreadable(error.to_string()),
    };
    for (number, found) in folders.flatten().enumerate() {
        if number == RUN_FOLDERS {
            let why = format!(
                "has more than {RUN_FOLDERS} files and folders, and only {RUN_FOLDERS} of them are looked at; move old ones elsewhere"
            );
            listing.unreadable.push((RUN_FOLDER.to_owned(), why));
            break;
        }
        let name = found.file_name().to_string_lossy().into_owned();
        // The kind of a link itself, not of what it points to.
        match found.file_type() {
            Ok(kind) if kind.is_symlink() => {
                listing.unreadable.push((name, InputFileError::Link.to_string()));
                continue;
            }
            Ok(kind) if kind.is_dir() => {}
            Ok(_) | Err(_) => continue,
        }
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
            Err(why) => listing.unreadable.push((name, why)),
        }
    }
    stamps.sort_by(|(a_name, a), (b_name, b)| (b.modified, b_name).cmp(&(a.modified, a_name)));
    listing.left_out = stamps.len().saturating_sub(NEWEST);
    stamps.truncate(NEWEST);
    known.retain(|name, _| stamps.iter().any(|(other, _)| other == name));
    for (name, stamp) in stamps {
        if known.get(&name).is_none_or(|known| known.stamp != stamp) {
            let entry = read(&folder.join(&name), stamp).and_then(|opened| remembered(&name, &opened));
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
fn stamp(folder: &Path) -> Result<Option<FileStamp>, String> {
    let message = |name: &str, error: &dyn fmt::Display| format!("{name}: {error}");
    if folder.is_symlink() {
        return Err(InputFileError::Link.to_string());
    }
    for kind in [FolderKind::Run, FolderKind::Exploration] {
        let name = kind.file();
        match fs::symlink_metadata(folder.join(name)) {
            Ok(metadata) if metadata.is_file() => {
                return stamp_of(kind, &metadata).map(Some).map_err(|error| message(name, &error));
            }
            Ok(metadata) if metadata.is_symlink() => return Err(message(name, &InputFileError::Link)),
            Ok(_) => return Err(message(name, &InputFileError::NotRegular)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(message(name, &error)),
        }
    }
    Ok(None)
}

fn stamp_of(kind: FolderKind, metadata: &Metadata) -> io::Result<FileStamp> {
    Ok(FileStamp { modified: metadata.modified()?, length: metadata.len(), kind })
}

fn read(folder: &Path, stamp: FileStamp) -> Result<OpenedExperiment, String> {
    let name = stamp.kind.file();
    let message = |error: &dyn fmt::Display| format!("{name}: {}", beginning(&error.to_string(), REASON_MAX));
    let text = read_in(folder, name, SHOWN_FILE_BYTES).map_err(|error| message(&error))?;
    match stamp.kind {
        FolderKind::Run => read::run(&text).map(|run| OpenedExperiment::Run(Box::new(run))),
        FolderKind::Exploration => report::read(&text).map(|report| OpenedExperiment::Exploration(Box::new(report))),
    }
    .map_err(|error| message(&error))
}

/// What is remembered of an experiment, unless that is more than the lab's own have.
fn remembered(id: &str, opened: &OpenedExperiment) -> Result<Arc<ArchiveEntry>, String> {
    let entry = opened.entry(id);
    // Its text for debugging is about as long as what it holds.
    let mut room = Room(REMEMBERED_BYTES);
    write!(room, "{entry:?}").map_err(|_| {
        format!("has more results than the dashboard lists: expected at most {} KiB of them", REMEMBERED_BYTES >> 10)
    })?;
    Ok(Arc::new(entry))
}

/// Counts what is written, and fails when it is too much.
struct Room(usize);

impl fmt::Write for Room {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

impl ArchiveListing {
    fn unreadable(why: String) -> Self {
        Self { unreadable: vec![(RUN_FOLDER.to_owned(), why)], ..Self::default() }
    }
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
