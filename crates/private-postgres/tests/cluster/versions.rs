//! Which versions of PostgreSQL's programs are accepted. The programs are scripts that print a version.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

use private_postgres::{Cluster, ClusterOptions, PostgresError};
use tempfile::TempDir;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::fixture::*;

/// Makes a directory with a `postgres` that prints this version, and an `initdb` that always fails.
fn fake_programs(dir: &TempDir, version: &str) -> ClusterOptions {
    let bin_dir = dir.path().join("bin");
    std::fs::create_dir(&bin_dir).unwrap();
    let programs = [
        ("postgres", format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")),
        ("initdb", "#!/bin/sh\necho 'the initdb of this test always fails'\nexit 1\n".to_owned()),
    ];
    for (name, text) in programs {
        let script = dir.path().join(name);
        std::fs::write(&script, text).unwrap();
        install(&script, &bin_dir);
    }
    ClusterOptions { bin_dir: Some(bin_dir), ..options(dir) }
}

/// Copies a program in a process of its own. If this process wrote the file, a child that another test forks at that
/// moment would hold it open for writing, and the kernel would refuse to run it.
fn install(script: &Path, bin_dir: &Path) {
    assert!(Command::new("install").args(["-m", "755"]).arg(script).arg(bin_dir).status().unwrap().success());
}

async fn start_with(version: &str) -> (TempDir, PostgresError) {
    let dir = temp_dir();
    let options = fake_programs(&dir, version);
    let error = Cluster::start(&options).await.unwrap_err();
    (dir, error)
}

/// The version check has passed when the start gets as far as `initdb`.
fn assert_accepted(version: &str, error: &PostgresError) {
    let PostgresError::ProgramFailed { program, detail, .. } = error else { panic!("{version}: {error}") };
    assert_eq!((program.as_str(), detail.as_str()), ("initdb", "the initdb of this test always fails"), "{version}");
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_older_than_14_are_refused_with_the_reason_and_the_remedy() {
    for version in ["9.6.24", "13.23 (Debian 13.23-1)", "13beta1"] {
        let (dir, error) = start_with(version).await;
        let PostgresError::VersionTooOld { version: found, .. } = &error else { panic!("{version}: {error}") };
        assert_eq!(*found, format!("postgres (PostgreSQL) {version}"));
        let message = error.to_string();
        let bin_dir = dir.path().join("bin");
        for part in [version, bin_dir.to_str().unwrap(), "14 to 18", "--no-instructions", "--postgres-bin", "install"] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
        assert!(!cluster_dir(&dir).exists(), "{version}: no cluster was made");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_from_14_to_18_are_accepted_without_a_warning() {
    for version in ["14.20", "16.4 (Debian 16.4-1)", "17beta1", "18.1"] {
        Warnings::listen();
        let (dir, error) = start_with(version).await;
        assert_accepted(version, &error);
        assert_eq!(Warnings::about(dir.path()), Vec::<String>::new(), "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_newer_than_18_are_accepted_with_a_warning() {
    Warnings::listen();
    let (dir, error) = start_with("19devel").await;
    assert_accepted("19devel", &error);
    let warnings = Warnings::about(dir.path());
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    for part in ["19devel", "newer than version 18", "install version 14 to 18"] {
        assert!(warning.contains(part), "{part} is missing in: {warning}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_prints_no_version_is_an_error_that_quotes_it() {
    let (_dir, error) = start_with("unknown").await;
    let message = error.to_string();
    assert!(message.contains("postgres --version") && message.contains("(PostgreSQL) unknown"), "{message}");
}

/// The warnings of the whole process: the start works on a thread of its own. Each test picks those that name its directory.
struct Warnings;

static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

static LISTENING: LazyLock<()> = LazyLock::new(|| tracing::subscriber::set_global_default(Warnings).unwrap());

impl Warnings {
    fn listen() {
        LazyLock::force(&LISTENING);
    }

    fn about(dir: &Path) -> Vec<String> {
        let all = WARNINGS.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|warning| warning.contains(dir.to_str().unwrap())).cloned().collect()
    }
}

/// The fields of an event as text.
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target().starts_with("private_postgres")
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        WARNINGS.lock().unwrap_or_else(PoisonError::into_inner).push(fields.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
