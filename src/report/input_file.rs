//! Files that others have written. A file may be endless, a pipe that never says anything, or a link to something else.
//!
//! - A file that the user names is read up to a limit. It may be a link or a pipe: the user named it.
//! - A file in a folder, such as the run folder, must be a regular file. Links are not followed, because the folder may
//!   belong to another user than the reader.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

use super::printable::beginning;

/// Cells of a line that an error shows.
const SHOWN_MAX: usize = 200;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum InputFileError {
    /// It is not there, or this process has no right to read it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is a link, or in a folder that is a link.
    #[error("is a link; links in this folder are not followed")]
    Link,
    /// It is a pipe, a socket, a device or a folder.
    #[error("is not a regular file")]
    NotRegular,
    /// It is longer than the limit.
    #[error("expected at most {}, found more", bytes(*max))]
    TooLong {
        /// The limit, in bytes.
        max: u64,
    },
    /// It is not text.
    #[error("expected UTF-8, found something else at byte {0}")]
    NotText(usize),
}

fn bytes(count: u64) -> String {
    if count >> 20 << 20 == count && count > 0 { format!("{} MiB", count >> 20) } else { format!("{count} bytes") }
}

/// Reads a file that the user names, if it has at most `max` bytes.
///
/// # Errors
/// [`InputFileError`].
pub fn read(path: &Path, max: u64) -> Result<Vec<u8>, InputFileError> {
    read_up_to(File::open(path)?, max)
}

/// Reads a file that has a fixed name, if it is a regular file or a link to one and has at most `max` bytes. This never waits for the
/// writer of a pipe.
///
/// # Errors
/// [`InputFileError`].
pub fn read_regular(path: &Path, max: u64) -> Result<Vec<u8>, InputFileError> {
    let flags = OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = File::from(open(path, flags, Mode::empty()).map_err(io::Error::from)?);
    if !file.metadata()?.is_file() {
        return Err(InputFileError::NotRegular);
    }
    read_up_to(file, max)
}

/// Reads the text of a file that the user names, if it has at most `max` bytes.
///
/// # Errors
/// [`InputFileError`].
pub fn read_text(path: &Path, max: u64) -> Result<String, InputFileError> {
    String::from_utf8(read(path, max)?).map_err(|error| InputFileError::NotText(error.utf8_error().valid_up_to()))
}

/// Opens a regular file of a folder. Neither the folder nor the file may be a link. This never waits for the writer of a pipe.
///
/// # Errors
/// [`InputFileError`].
pub fn open_in(folder: &Path, name: &str) -> Result<File, InputFileError> {
    let flags = OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let directory = match open(folder, flags | OFlag::O_DIRECTORY, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::ELOOP | Errno::ENOTDIR) if folder.is_symlink() => return Err(InputFileError::Link),
        Err(error) => return Err(io::Error::from(error).into()),
    };
    // Without O_NONBLOCK, the kernel would wait until a pipe has a writer.
    match openat(&directory, name, flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY, Mode::empty()) {
        Ok(file) => {
            let file = File::from(file);
            if file.metadata()?.is_file() { Ok(file) } else { Err(InputFileError::NotRegular) }
        }
        Err(Errno::ELOOP) => Err(InputFileError::Link),
        // A socket cannot be opened.
        Err(Errno::ENXIO) => Err(InputFileError::NotRegular),
        Err(error) => Err(io::Error::from(error).into()),
    }
}

/// Reads a regular file of a folder, as [`open_in`] opens it, if it has at most `max` bytes.
///
/// # Errors
/// [`InputFileError`].
pub fn read_in(folder: &Path, name: &str, max: u64) -> Result<Vec<u8>, InputFileError> {
    read_up_to(open_in(folder, name)?, max)
}

fn read_up_to(file: File, max: u64) -> Result<Vec<u8>, InputFileError> {
    let length = file.metadata()?.len();
    if length > max {
        return Err(InputFileError::TooLong { max });
    }
    // A device has no length, and a file may grow meanwhile.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    let read = file.take(max + 1).read_to_end(&mut bytes)?;
    if read as u64 > max { Err(InputFileError::TooLong { max }) } else { Ok(bytes) }
}

/// What is wrong with a TOML text, and the line where it is wrong, up to a length that fits on a screen.
#[must_use]
pub fn toml_error(text: &str, error: &toml::de::Error) -> String {
    let message = beginning(error.message(), 10 * SHOWN_MAX);
    let Some(span) = error.span() else { return message };
    let before = text.get(..span.start).unwrap_or(text);
    let (number, start) = (before.matches('\n').count() + 1, before.rfind('\n').map_or(0, |at| at + 1));
    let line = text[start..].lines().next().unwrap_or_default();
    let column = before[start..].chars().count() + 1;
    let margin = " ".repeat(number.to_string().len());
    let place = format!("TOML parse error at line {number}, column {column}\n{margin} |\n{number} | ");
    let shown = beginning(line, SHOWN_MAX);
    let marker = if column > SHOWN_MAX {
        String::new()
    } else {
        let length = text.get(span.clone()).and_then(|marked| marked.lines().next()).unwrap_or_default();
        let length = length.chars().count().clamp(1, SHOWN_MAX + 1 - column);
        format!("{}{}", " ".repeat(column), "^".repeat(length))
    };
    format!("{place}{shown}\n{margin} |{marker}\n{message}\n")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_a_device_without_end_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_text(&path, 5).unwrap(), "12345");
        assert_eq!(read(&path, 4).unwrap_err().to_string(), "expected at most 4 bytes, found more");
        let endless = read(Path::new("/dev/zero"), 1 << 20).unwrap_err();
        assert_eq!(endless.to_string(), "expected at most 1 MiB, found more");
        fs::write(&path, b"ab\xff").unwrap();
        assert_eq!(read_text(&path, 5).unwrap_err().to_string(), "expected UTF-8, found something else at byte 2");
    }

    #[test]
    fn in_a_folder_only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("1-1");
        fs::create_dir(&inside).unwrap();
        fs::write(inside.join("regular"), "text").unwrap();
        mkfifo(&inside.join("pipe"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        symlink("regular", inside.join("link")).unwrap();
        symlink("/dev/zero", inside.join("endless")).unwrap();
        symlink(&inside, folder.path().join("2-2")).unwrap();
        let _socket = UnixListener::bind(inside.join("socket")).unwrap();
        let error = |folder: &Path, name: &str| read_in(folder, name, 10).unwrap_err();
        assert_eq!(read_in(&inside, "regular", 10).unwrap(), b"text");
        for name in ["link", "endless"] {
            assert!(matches!(error(&inside, name), InputFileError::Link), "{name}");
        }
        for name in ["pipe", "socket", "."] {
            assert!(matches!(error(&inside, name), InputFileError::NotRegular), "{name}");
        }
        assert!(matches!(error(&folder.path().join("2-2"), "regular"), InputFileError::Link));
        let missing = error(&inside, "missing");
        assert!(matches!(&missing, InputFileError::Io(error) if error.kind() == io::ErrorKind::NotFound), "{missing}");
    }

    #[test]
    fn an_error_in_toml_shows_the_beginning_of_its_line() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}

        let error = |text: &str| toml_error(text, &toml::from_str::<toml::Table>(text).unwrap_err());
        let short = "a = 1\nb = ?\n";
        let expected = "TOML parse error at line 2, column 5\n  |\n2 | b = ?\n  |     ^\n";
        assert!(error(short).starts_with(expected), "{}", error(short));
        for long in [format!("a = {}", "[".repeat(1 << 20)), format!("ä{}", "x ".repeat(1 << 20))] {
            let text = error(&long);
            assert!(text.len() < 3_000 && text.contains('…') && text.contains("line 1"), "{}", text.len());
        }
        let unknown = format!("{} = 1", "k".repeat(1 << 20));
        let text = toml_error(&unknown, &toml::from_str::<Nothing>(&unknown).unwrap_err());
        assert!(text.len() < 5_000 && text.contains("unknown field"), "{}", text.len());
    }
}
