//! `GET /lab/runs/{id}/{file}`: a file of an experiment, unchanged. Only the listed names are served, and nothing else in the folder.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use crate::dashboard::model::archive::{Archive, EXPLORATION};
use crate::dashboard::model::permission::ExperimentPermission;
use crate::dashboard::view::frame::{POLICY, missing};
use crate::lab::reports::read;
use crate::report::figures::float;
use crate::report::input_file::{InputFileError, open_in};

/// A report is one file with inline styles. Whatever is in the file, the browser runs, loads and sends nothing.
const REPORT_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
);

/// A kind of file, and how it is sent.
struct FileKind {
    name: &'static str,
    content_type: &'static str,
    policy: HeaderValue,
    /// Too long to show in a browser.
    download: bool,
}

const fn kind(name: &'static str, content_type: &'static str, policy: HeaderValue, download: bool) -> FileKind {
    FileKind { name, content_type, policy, download }
}

static KINDS: [FileKind; 5] = [
    kind("report.html", "text/html; charset=utf-8", REPORT_POLICY, false),
    kind(read::FILE, "application/json", POLICY, false),
    kind(EXPLORATION, "application/json", POLICY, false),
    kind("responses.log", "text/plain; charset=utf-8", POLICY, false),
    kind("history.jsonl", "text/plain; charset=utf-8", POLICY, true),
];

/// The files of an experiment, with their lengths in bytes.
pub async fn list(archive: &Archive, id: &str) -> Vec<(&'static str, u64)> {
    let Some(folder) = archive.folder_of(id) else { return Vec::new() };
    let mut files = Vec::new();
    for kind in &KINDS {
        let metadata = tokio::fs::symlink_metadata(folder.join(kind.name)).await;
        files.extend(metadata.ok().filter(std::fs::Metadata::is_file).map(|file| (kind.name, file.len())));
    }
    files
}

/// A length in bytes, with a unit.
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.0} kB", float(bytes) / 1e3),
        _ => format!("{:.1} MB", float(bytes) / 1e6),
    }
}

/// The file, streamed: a history may be larger than the memory.
pub async fn download(
    State(permission): State<ExperimentPermission>,
    State(archive): State<Archive>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Response {
    let Ok(Path((id, name))) = path else { return missing(&permission, "This is not the address of a file.") };
    let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
        let names = KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
        return missing(&permission, &format!("There is no file {name:?}. An experiment may have {names}."));
    };
    let no_file = || missing(&permission, &format!("There is no {name} of an experiment {id:?}."));
    let Some(folder) = archive.folder_of(&id) else { return no_file() };
    let file = match tokio::task::spawn_blocking(move || open_in(&folder, kind.name)).await {
        Ok(Ok(file)) => File::from_std(file),
        Ok(Err(refused @ (InputFileError::Link | InputFileError::NotRegular))) => {
            return missing(&permission, &format!("{name} of the experiment {id:?} {refused}."));
        }
        Ok(Err(_)) | Err(_) => return no_file(),
    };
    let Ok(length) = file.metadata().await.map(|metadata| metadata.len()) else { return no_file() };
    // The length is already sent, so anything that is appended meanwhile is left out.
    let mut response = Response::new(Body::from_stream(ReaderStream::new(file.take(length))));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind.content_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CONTENT_SECURITY_POLICY, kind.policy.clone());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if kind.download
        && let Ok(disposition) = HeaderValue::try_from(format!("attachment; filename=\"{id}-{name}\""))
    {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        let table = [(0, "0 B"), (999, "999 B"), (1_000, "1 kB"), (123_456, "123 kB"), (8_040_000, "8.0 MB")];
        for (bytes, expected) in table {
            assert_eq!(size(bytes), expected);
        }
    }
}
