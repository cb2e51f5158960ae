//! Which modules and crates may import which.

use std::collections::BTreeSet;

use super::imports::{Import, ModulePath, imports, module_of};
use super::source::SourceFile;

/// A folder below `src/` and its modules, the lowest first. A module imports only from modules before it.
pub type Table<'a> = (&'a str, &'a [&'a str]);

/// What is wrong with the modules of a package: modules that a table lacks or has too many, and imports that run upward.
pub fn violations(files: &[SourceFile], tables: &[Table<'_>]) -> Vec<String> {
    let mut found: Vec<String> = tables.iter().flat_map(|table| table_errors(files, table)).collect();
    let (direct, through_names): (Vec<_>, Vec<_>) = imports(files).into_iter().partition(is_direct);
    let mut reported = BTreeSet::new();
    for import in direct {
        if let Some(upward) = upward(&import, tables) {
            reported.insert((import.module.clone(), upward.target.clone()));
            found.push(upward.message(&import));
        }
    }
    // A path that begins with an imported name is a violation of its own only where the import is none.
    for import in through_names {
        if let Some(upward) = upward(&import, tables)
            && reported.insert((import.module.clone(), upward.target.clone()))
        {
            found.push(upward.message(&import));
        }
    }
    found
}

/// Whether a path says itself that it leads into the package.
fn is_direct(import: &Import) -> bool {
    ["crate", "super", "self", "concurrency_lab"].contains(&import.written.split("::").next().unwrap_or_default())
}

struct Upward {
    folder: String,
    from: (usize, String),
    target: (usize, String),
}

impl Upward {
    fn message(&self, import: &Import) -> String {
        let (Self { folder, from, target }, Import { place, written, .. }) = (self, import);
        format!(
            "{place}: `{written}` imports {} (floor {} of {folder}) into {} (floor {})",
            target.1,
            target.0 + 1,
            from.1,
            from.0 + 1
        )
    }
}

fn upward(import: &Import, tables: &[Table<'_>]) -> Option<Upward> {
    tables.iter().find_map(|(folder, modules)| {
        let floor = |module: &ModulePath| {
            let name = module.strip_prefix(module_of(folder_path(folder)).as_slice())?.first()?;
            Some((modules.iter().position(|known| known == name)?, name.clone()))
        };
        let from = floor(&import.module)?;
        let highest = import.targets.iter().filter_map(floor).max()?;
        (highest.0 > from.0).then(|| Upward { folder: (*folder).to_owned(), from, target: highest })
    })
}

/// `src/explore` as the folder of the module `explore`, and `src` as that of the root.
fn folder_path(folder: &str) -> &str {
    if folder == "src" { "src/lib.rs" } else { folder }
}

fn table_errors(files: &[SourceFile], (folder, modules): &Table<'_>) -> Vec<String> {
    let prefix = format!("{folder}/");
    let present: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| file.path.strip_prefix(&prefix)?.trim_end_matches(".rs").split('/').next())
        .filter(|name| !["lib", "main", "mod"].contains(name))
        .collect();
    let missing = present.iter().filter(|name| !modules.contains(name));
    let missing = missing.map(|name| format!("{folder}: the module {name} has no floor; give it one in the table"));
    let stale = modules.iter().filter(|name| !present.contains(*name));
    let stale = stale.map(|name| format!("{folder}: the table has the module {name}, but there is none"));
    missing.chain(stale).collect()
}

/// A crate below `crates/`, and the packages of this workspace that it may depend on.
pub type CrateRule<'a> = (&'a str, &'a [&'a str]);

/// A manifest of the workspace: the folder's name, and the text of its Cargo.toml.
pub type Manifest = (String, String);

/// What is wrong with the dependencies between the packages of the workspace.
pub fn crate_violations(manifests: &[Manifest], rules: &[CrateRule<'_>]) -> Vec<String> {
    let known: BTreeSet<&str> = manifests.iter().map(|(name, _)| name.as_str()).collect();
    let stale = rules.iter().filter(|(name, _)| !known.contains(name));
    let mut found: Vec<String> =
        stale.map(|(name, _)| format!("crates/{name} is in the table, but not there")).collect();
    for (name, text) in manifests {
        let Some((_, allowed)) = rules.iter().find(|(known, _)| known == name) else {
            found.push(format!("crates/{name} is not in the table of crates"));
            continue;
        };
        let packages = dependencies(text).into_iter();
        let ours = packages.filter(|package| package == "concurrency-lab" || known.contains(package.as_str()));
        let wrong = ours.filter(|package| !allowed.contains(&package.as_str()));
        found
            .extend(wrong.map(|package| format!("crates/{name} depends on {package}, which the table does not allow")));
    }
    found
}

/// The packages that a Cargo.toml names as dependencies of any kind, in the forms that this workspace uses: a line each,
/// or a table each.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut packages = BTreeSet::new();
    let mut in_dependencies = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            let (kind, name) = section.split_once("dependencies.").unwrap_or((section, ""));
            in_dependencies = section.ends_with("dependencies");
            if !name.is_empty() && (kind.is_empty() || kind.ends_with(['-', '.'])) {
                packages.insert(name.trim_matches('"').to_owned());
                in_dependencies = true;
            }
        } else if in_dependencies && let Some((name, value)) = line.split_once('=') {
            let name = name.trim().split('.').next().unwrap_or_default().trim_matches('"');
            let value = if name == "package" { Some(value) } else { value.split_once("package").map(|(_, rest)| rest) };
            let renamed = value.and_then(|rest| rest.split('"').nth(1));
            packages.insert(renamed.unwrap_or(name).to_owned());
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &[Table<'_>] =
        &[("src", &["config", "database", "explore", "cli"]), ("src/explore", &["actor", "search", "report"])];

    /// The violations of a package with this text in one file, and nothing in the others.
    fn with(path: &str, text: &str) -> Vec<String> {
        let names =
            ["config", "database/mod", "database/pool", "cli", "explore/mod", "explore/actor", "explore/search"];
        let mut files: Vec<SourceFile> =
            names.iter().map(|name| SourceFile::new(&format!("src/{name}.rs"), "")).collect();
        files.push(SourceFile::new("src/lib.rs", "pub mod cli;"));
        files.push(SourceFile::new("src/explore/report.rs", "pub struct Table;"));
        files.retain(|file| file.path != path);
        files.push(SourceFile::new(path, text));
        violations(&files, TABLES)
    }

    #[test]
    fn an_import_from_a_lower_floor_or_the_same_module_is_allowed() {
        for text in [
            "use crate::config::Limits;",
            "use super::pool::Pool; use crate::database::{self, pool};",
            "use sqlx::explore::cli;",
            "// use crate::cli::main;\nconst TEXT: &str = \"use crate::cli::main;\"; /* crate::cli::main */",
            "fn f(cli: &str) -> impl Future + use<'_> { cli }",
        ] {
            assert_eq!(with("src/database/mod.rs", text), Vec::<String>::new(), "{text}");
        }
        assert_eq!(with("src/main.rs", "fn main() { concurrency_lab::cli::main() }"), Vec::<String>::new());
        assert_eq!(with("src/cli.rs", "use crate::explore::report::Table;"), Vec::<String>::new());
    }

    #[test]
    fn every_form_of_an_upward_import_is_found_with_file_and_line() {
        for text in [
            "\nuse crate::explore::search::Search;",
            "\nuse super::super::explore;",
            "\nuse crate::{config, explore::{self, search}};",
            "\nuse crate::{config::{Limits, RetryPolicy}, explore::search as other};",
            "\npub(crate) use crate::explore::*;",
            "\nfn f() { crate::explore::search::run() }",
            "\nfn f() -> Vec<super::super::explore::Search> { vec![] }",
            "\nmod tests { use super::super::super::explore::Search; }",
            "use crate as lab;\nuse lab::explore::Search;",
        ] {
            let found = with("src/database/pool.rs", text);
            assert!(found.iter().any(|line| line.starts_with("src/database/pool.rs:2: `")), "{text}: {found:?}");
            assert!(
                found[0].ends_with("imports explore (floor 3 of src) into database (floor 2)"),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn an_upward_import_within_a_folder_is_found() {
        let expected = "imports report (floor 3 of src/explore) into actor (floor 1)";
        for text in [
            "use super::report::Table;",
            "use crate::explore::{search::S, report};",
            "use super::super::explore::report;",
        ] {
            let found = with("src/explore/actor.rs", text);
            assert!(found.iter().any(|line| line.ends_with(expected)), "{text}: {found:?}");
        }
        assert_eq!(with("src/explore/report.rs", "use super::{actor::A, search::S}; use super::Failure;").len(), 0);
    }

    #[test]
    fn a_reexport_does_not_hide_an_upward_import() {
        let parent = SourceFile::new("src/explore/mod.rs", "mod actor; mod report; pub use report::Table;");
        let child = SourceFile::new("src/explore/actor.rs", "use super::Table;");
        let others = ["config", "database", "cli", "explore/search", "explore/report"];
        let others = others.map(|name| SourceFile::new(&format!("src/{name}.rs"), ""));
        let files: Vec<SourceFile> = others.into_iter().chain([parent, child]).collect();
        let found = violations(&files, TABLES);
        assert_eq!(
            found,
            ["src/explore/actor.rs:1: `super::Table` imports report (floor 3 of src/explore) into actor (floor 1)"]
        );
    }

    #[test]
    fn a_module_without_a_floor_is_found() {
        let found = with("src/metrics.rs", "");
        assert_eq!(found, ["src: the module metrics has no floor; give it one in the table"]);
        let found = violations(&[SourceFile::new("src/config.rs", "")], &[("src", &["config", "cli"])]);
        assert_eq!(found, ["src: the table has the module cli, but there is none"]);
    }

    #[test]
    fn a_crate_that_depends_on_the_root_package_or_on_another_crate_is_found() {
        const RULES: &[CrateRule<'_>] = &[("charts", &[]), ("domain", &[]), ("referee", &["domain"])];
        let with = |text: &str| {
            let manifests = [("charts", ""), ("domain", ""), ("referee", text)];
            crate_violations(&manifests.map(|(name, text)| (name.to_owned(), text.to_owned())), RULES)
        };
        let allowed = "[dependencies]\nserde.workspace = true\ndomain = { path = \"../domain\" }\n[lints]\ncharts = 1";
        assert_eq!(with(allowed), Vec::<String>::new());
        for text in [
            "[dependencies]\nconcurrency-lab = { path = \"../..\" }",
            "[dependencies]\nlab = { path = \"../..\", package = \"concurrency-lab\" }",
            "[dev-dependencies.concurrency-lab]\npath = \"../..\"",
            "[dev-dependencies.lab]\npackage = \"concurrency-lab\"",
        ] {
            let expected = "crates/referee depends on concurrency-lab, which the table does not allow";
            assert_eq!(with(text), [expected], "{text}");
        }
        let charts = with("[target.'cfg(unix)'.dependencies]\ncharts.workspace = true");
        assert_eq!(charts, ["crates/referee depends on charts, which the table does not allow"]);
        let unknown = crate_violations(&[("extra".to_owned(), String::new())], &[]);
        assert_eq!(unknown, ["crates/extra is not in the table of crates"]);
    }
}
