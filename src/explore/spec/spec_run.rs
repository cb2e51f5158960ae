//! All permutations of a spec, in a database of its own.

use std::path::Path;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio_util::sync::CancellationToken;

use super::grammar::{IsolationSpec, PermutedStep, StepPlace};
use super::permutation::{PermutationError, PermutationRunner};
use super::session::SpecConnection;
use crate::database::{ErrorText, connect};
use crate::explore::file::copies_a_stream;
use crate::explore::file_role::{FileRights, WorkerDatabase};

/// Permutations that are run if a spec lists none. With more, its steps are explored with `--all`.
pub const PERMUTATIONS_MAX: usize = 10_000;

/// The database of a spec. PostgreSQL's own suite has this name in some of its statements.
const DATABASE: &str = "isolation_regression";

/// Why the permutations of a spec were not all run.
#[derive(Debug, thiserror::Error)]
pub enum SpecRunError {
    /// The server cannot be reached.
    #[error("cannot connect: {}", ErrorText(.0))]
    Server(sqlx::Error),
    /// The database of the spec cannot be created.
    #[error(
        "cannot create {DATABASE}, the database of a spec: {}; if it is left of another run, drop it with: drop database {DATABASE}",
        ErrorText(.0)
    )]
    Create(sqlx::Error),
    /// The database of the spec cannot be dropped.
    #[error("cannot drop {DATABASE}, the database of the spec: {0}; drop it yourself before the next spec is run")]
    Drop(String),
    /// A spec has no data for COPY, and no place for it.
    #[error("{0}: expected SQL without COPY from STDIN or to STDOUT")]
    Copy(String),
    /// A session cannot connect.
    #[error("cannot connect a session: {0}")]
    Connect(String),
    /// A permutation has no end.
    #[error(transparent)]
    Permutation(#[from] PermutationError),
    /// The caller's token stopped it.
    #[error("interrupted before its permutations had ended")]
    Interrupted,
    /// No permutation is listed, and there are too many.
    #[error("it lists no permutation, and its steps have more than {PERMUTATIONS_MAX}; explore them with --all")]
    TooMany,
}

/// Runs the listed permutations of a spec, or all, and hands each part of the output on as it is known. `name` is the name of the file.
/// Its sessions have these rights.
///
/// # Errors
/// [`SpecRunError`].
pub async fn run(
    spec: &IsolationSpec,
    name: &str,
    (server, rights): (&WorkerDatabase, FileRights),
    stop: &CancellationToken,
    print: &mut (dyn FnMut(&str) + Send),
) -> Result<(), SpecRunError> {
    check_copy(spec)?;
    let permutations = permutations(spec)?;
    let mut administrator = connect(&server.explorer).await.map_err(SpecRunError::Server)?;
    // The collation of the expected outputs.
    let owner = server.of_file(rights);
    let create = format!(
        "create database {DATABASE} owner \"{}\" template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'",
        owner.get_username().replace('"', "\"\"")
    );
    administrator.execute(AssertSqlSafe(create)).await.map_err(SpecRunError::Create)?;
    let options = owner.clone().database(DATABASE);
    let result = tokio::select! {
        result = run_in(spec, name, &options, &permutations, print) => result,
        () = stop.cancelled() => Err(SpecRunError::Interrupted),
    };
    let dropped = drop_database(&mut administrator).await;
    let closed = administrator.close().await;
    if let (Err(_), Err(error)) = (&result, &dropped) {
        // The first error is returned; this one would be lost.
        tracing::warn!("{}", SpecRunError::Drop(ErrorText(error).to_string()));
    }
    result?;
    dropped.and(closed).map_err(|error| SpecRunError::Drop(ErrorText(&error).to_string()))
}

/// A session would wait for the data of COPY, and could not even be canceled.
fn check_copy(spec: &IsolationSpec) -> Result<(), SpecRunError> {
    let sessions = spec.sessions.iter().flat_map(|session| {
        let steps = session.steps.iter().map(|step| (format!("step {}", step.name), &step.sql));
        let around = session.setup.iter().chain(&session.teardown);
        steps.chain(around.map(|sql| (format!("the setup or teardown of session {}", session.name), sql)))
    });
    let around = spec.setups.iter().chain(&spec.teardown).map(|sql| ("a setup or teardown".to_owned(), sql));
    match around.chain(sessions).find(|(_, sql)| copies_a_stream(sql)) {
        Some((place, _)) => Err(SpecRunError::Copy(place)),
        None => Ok(()),
    }
}

async fn drop_database(administrator: &mut PgConnection) -> Result<(), sqlx::Error> {
    administrator.execute(AssertSqlSafe(format!("drop database {DATABASE} with (force)"))).await?;
    Ok(())
}

async fn run_in(
    spec: &IsolationSpec,
    name: &str,
    database: &PgConnectOptions,
    permutations: &[Vec<PermutedStep>],
    print: &mut (dyn FnMut(&str) + Send),
) -> Result<(), SpecRunError> {
    let application = format!("isolation/{name}");
    let control = SpecConnection::open(database, &format!("{application}/control connection"), false).await;
    let control = control.map_err(SpecRunError::Connect)?;
    let mut connections = Vec::new();
    for session in &spec.sessions {
        let opened = SpecConnection::open(database, &format!("{application}/{}", session.name), true).await;
        connections.push(opened.map_err(SpecRunError::Connect)?);
    }
    for name in spec.unused_steps() {
        print(&format!("unused step name: {name}\n"));
    }
    print(&format!("Parsed test spec with {} sessions\n", connections.len()));
    for steps in permutations {
        let (output, result) = PermutationRunner::new(spec, &control, &mut connections, steps).run().await;
        print(&output);
        result?;
    }
    Ok(())
}

fn permutations(spec: &IsolationSpec) -> Result<Vec<Vec<PermutedStep>>, SpecRunError> {
    if !spec.permutations.is_empty() {
        return Ok(spec.permutations.clone());
    }
    let mut all = Vec::new();
    let mut taken = vec![0; spec.sessions.len()];
    if interleave(spec, &mut taken, &mut Vec::new(), &mut all) { Ok(all) } else { Err(SpecRunError::TooMany) }
}

/// Adds all interleavings that begin with `steps`; `false` if there are too many.
fn interleave(
    spec: &IsolationSpec,
    taken: &mut [usize],
    steps: &mut Vec<PermutedStep>,
    all: &mut Vec<Vec<PermutedStep>>,
) -> bool {
    let mut whole = true;
    for session in 0..taken.len() {
        let step = taken[session];
        if step < spec.sessions[session].steps.len() {
            whole = false;
            taken[session] += 1;
            steps.push(PermutedStep { place: StepPlace { session, step }, markers: Vec::new() });
            let few = interleave(spec, taken, steps, all);
            steps.pop();
            taken[session] -= 1;
            if !few {
                return false;
            }
        }
    }
    if whole {
        all.push(steps.clone());
    }
    all.len() <= PERMUTATIONS_MAX
}

/// The name of a spec, as isolationtester's sessions have it: that of the file, without its extension.
#[must_use]
pub fn name_of(path: &Path) -> String {
    path.file_stem().map_or_else(|| "spec".to_owned(), |stem| stem.to_string_lossy().into_owned())
}
