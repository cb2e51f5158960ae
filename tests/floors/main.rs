//! The order of the house: no module imports from a higher floor, no name stands for two types, and no text takes a
//! program for a person. The tests read the source; they need no PostgreSQL.
//!
//! Each rule has tests of its own beside it, with made-up sources that break it: so the rule can fail.

mod floors;
mod imports;
mod names;
mod source;
mod words;

use std::fs;
use std::path::Path;

use floors::{CrateRule, Manifest, Table};
use source::{SourceFile, files_below};

/// The floors, the lowest first; docs/ARCHITECTURE.md explains them. A module imports only from the floors below its own.
/// Every module of a folder that is listed here has a floor. A folder below, such as `src/explore`, has its own table:
/// `("src/explore", &["lowest", …])`.
const FLOORS: &[Table<'_>] = &[
    (
        "src",
        &[
            "config",    // every limit, with its reason
            "database",  // pool, schema, seeds
            "metrics",   // counts by labels that are handed in
            "server",    // the memory of one server: queues of rows, mutexes, conditions
            "session",   // the seam through which every statement passes, and the batch queue
            "strategy",  // the approaches
            "engine",    // an operation from the request to its outcome
            "http",      // routes, bodies, headers
            "report",    // tables, figures, JUnit, the HTML frame; no model of a run or an exploration
            "feed",      // the protocol of `--events`
            "lab",       // load, reports of runs
            "explore",   // every interleaving
            "dashboard", // pages
            "cli",       // the commands
        ],
    ),
    (
        "src/explore",
        &[
            "error",
            "schedule",
            "transcript",
            "search_order",
            "sql_words",
            "row_text",
            "sequence_columns",
            "new_sequence_values",
            "named_ids",
            "table_rows",
            "findings",
            "scenario",
            "mutation",
            "test_case",
            "catalog",
            "file_role", // the rights of a file's statements
            "run",       // one interleaving: gates, the monitor, the runner
            "explorer_database",
            "search", // which interleaving is next
            "exploration",
            "oracle",
            "classify",
            "execution",
            "crash",
            "file", // explore files
            "app",  // programs of a user's own
            "spec", // isolationtester's files
            "witness_check",
            "report",
            "position",
            "worker_pool",
        ],
    ),
    (
        "src/explore/run",
        &["observations", "actor_state", "gate", "monitor", "interleaving_state", "interleaving_runner"],
    ),
    (
        "src/explore/search",
        &[
            "access",
            "execution",
            "choices",
            "independence",
            "branch",
            "progress",
            "depth_first",
            "scheduler",
            "sampling",
            "replay",
        ],
    ),
    ("src/explore/spec", &["scanner", "grammar", "result_table", "session", "permutation", "spec_run", "as_script"]),
    (
        "src/explore/file",
        &[
            "template",
            "expect",
            "script",
            "fields",
            "sessions",
            "expect_table",
            "schedule_table",
            "reading",
            "sending",
            "notices",
            "barrier",
            "read_values",
            "transaction_state",
            "session_end",
            "runner",
            "clock",
            "catalog_query",
            "schema_code",
            "schema_catalog",
            "statement_access",
            "own_commit",
            "final_rows",
            "serial",
            "serial_ends",
            "invariants",
            "end_judgement",
            "mistakes",
            "limits",
            "prepared",
            "schedule_tests",
            "execution",
            "expect_tests",
            "tests",
        ],
    ),
    (
        "src/explore/app",
        &[
            "request_script",
            "app_file",
            "environment",
            "app_reading",
            "command_output",
            "running_command",
            "request_sending",
            "process_activity",
            "running_service",
            "app_connection",
            "step_rules",
            "step_text",
            "actor_record",
            "attended_command",
            "attendant",
            "reactions",
            "attribution",
            "service_link",
            "attended_request",
            "request_interleaving",
            "request_arrivals",
            "request_settling",
            "service_attendant",
            "proxying",
            "service",
            "definitions",
            "app_database",
            "app_execution",
        ],
    ),
    (
        "src/dashboard",
        &[
            "model",   // pure data
            "service", // what runs behind the pages
            "view",    // markup of models
            "page",    // routes
        ],
    ),
];

/// The crates below `crates/`, and which of each other they may depend on. None depends on the root package.
const CRATES: &[CrateRule<'_>] = &[
    ("charts", &[]),
    ("domain", &[]),
    ("postgres-proxy", &["private-postgres"]),
    ("private-postgres", &[]),
    ("referee", &["domain"]),
];

/// Names that stand for several types.
const SHARED_NAMES: &[names::Exception<'_>] = &[];

/// Texts in which one of the words is right.
const ALLOWED_WORDS: &[words::Exception<'_>] = &[
    ("crates/private-postgres/src/account.rs", "nobody", "the name of a user of the operating system"),
    ("crates/private-postgres/README.md", "nobody", "the name of a user of the operating system"),
];

/// The words may stand in a handful of comments, where they mean people.
const MAX_WORDS_IN_COMMENTS: usize = 12;

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
}

#[test]
fn no_module_imports_from_a_higher_floor() {
    assert_none(&floors::violations(&files_below("src", &["rs"]), FLOORS));
}

#[test]
fn an_upward_import_in_any_module_of_the_source_is_found() {
    let mut files = files_below("src", &["rs"]);
    let before = floors::violations(&files, FLOORS);
    let (folder, modules) = FLOORS[0];
    let (top, lower) = modules.split_last().unwrap();
    for module in lower {
        files.push(SourceFile::new(&format!("{folder}/{module}/added.rs"), &format!("use crate::{top}::main;")));
    }
    let found = floors::violations(&files, FLOORS);
    for module in lower {
        let added = format!(
            "{folder}/{module}/added.rs:1: `crate::{top}::main` imports {top} (floor 14 of src) into {module} "
        );
        assert!(found.iter().any(|line| line.starts_with(&added)), "{module}: {found:?}");
        assert!(!before.iter().any(|line| line.starts_with(&added)));
    }
}

#[test]
fn no_crate_depends_on_the_root_package() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    let manifests: Vec<Manifest> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let text = source::read(&format!("crates/{name}/Cargo.toml"));
            (name, text)
        })
        .collect();
    assert_none(&floors::crate_violations(&manifests, CRATES));
}

fn sources_of_all_packages() -> Vec<SourceFile> {
    let mut files = files_below("src", &["rs"]);
    files.extend(files_below("crates", &["rs"]).into_iter().filter(|file| file.path.contains("/src/")));
    files
}

#[test]
fn no_two_types_have_the_same_name() {
    assert_none(&names::duplicates(&sources_of_all_packages(), SHARED_NAMES));
}

#[test]
fn a_second_type_with_a_name_of_the_source_is_found() {
    let mut files = sources_of_all_packages();
    files.push(SourceFile::new("src/added.rs", "pub struct Approach;\nmod inner { pub enum Cluster {} }"));
    let found = names::duplicates(&files, SHARED_NAMES).join("\n");
    for place in ["src/added.rs:1", "src/added.rs:2"] {
        assert!(found.contains(place), "{place} is missing in: {found}");
    }
}

#[test]
fn no_text_takes_a_program_for_a_person() {
    let endings = ["rs", "js", "html", "sql", "toml", "md"];
    let mut files: Vec<SourceFile> =
        ["src", "crates"].iter().flat_map(|folder| files_below(folder, &endings)).collect();
    files.push(SourceFile::new("README.md", &source::read("README.md")));
    files.extend(files_below("docs", &["md"]));
    let hits = words::find(&files, ALLOWED_WORDS);
    let list = |hits: &[words::Hit]| hits.iter().map(|hit| format!("{}: {}", hit.place, hit.text)).collect::<Vec<_>>();
    let mut found = hits.stale;
    found.extend(list(&hits.in_texts));
    if hits.in_comments.len() > MAX_WORDS_IN_COMMENTS {
        found.push(format!("{} words in comments, at most {MAX_WORDS_IN_COMMENTS} may stay:", hits.in_comments.len()));
        found.extend(list(&hits.in_comments));
    }
    assert_none(&found);
}
