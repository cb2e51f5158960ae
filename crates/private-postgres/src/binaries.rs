//! The search for PostgreSQL's programs.
//!
//! The order is: the directory that the caller names; `pg_config --bindir`; PATH; the places where distributions,
//! Homebrew and Postgres.app put each major version, the highest first. A place counts only if it has the programs.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::unistd::Uid;

use super::command::output_within;
use super::error::PostgresError;

/// The programs that make a directory usable as a server.
const SERVER_PROGRAMS: [&str; 2] = ["postgres", "initdb"];

/// `pg_config` prints a constant. If it takes longer than this, it hangs, perhaps on a dead network mount.
const PG_CONFIG_LIMIT: Duration = Duration::from_secs(5);

/// Places with a directory for each major version: the parent, the text before the number, the folder below it.
const VERSIONED: [(&str, &str, &str); 8] = [
    ("/usr/lib/postgresql", "", "bin"),          // Debian, Ubuntu
    ("/usr", "pgsql-", "bin"),                   // postgresql.org's packages for Red Hat's family
    ("/usr/lib", "postgresql", "bin"),           // openSUSE
    ("/usr/libexec", "postgresql", ""),          // Alpine
    ("/opt/homebrew/opt", "postgresql@", "bin"), // Homebrew on Apple silicon
    ("/usr/local/opt", "postgresql@", "bin"),    // Homebrew on Intel
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// The full path of a program of PostgreSQL: `psql`, `postgres`, `initdb`, `pgbench`.
///
/// # Errors
///
/// When `bin_dir` is given and lacks the program, or when no place has it. The error lists the places and the command
/// that installs PostgreSQL on this system.
pub fn find_program(name: &str, bin_dir: Option<&Path>) -> Result<PathBuf, PostgresError> {
    if SERVER_PROGRAMS.contains(&name) {
        return find_server(bin_dir).map(|dir| dir.join(name));
    }
    // A client beside a server comes first: it has that server's version. A machine with clients only works too.
    match find_server(bin_dir) {
        Ok(dir) if is_program(&dir.join(name)) => Ok(dir.join(name)),
        Ok(_) | Err(_) => find_dir(&[name], bin_dir).map(|dir| dir.join(name)),
    }
}

/// The directory that has both `postgres` and `initdb`.
pub(super) fn find_server(bin_dir: Option<&Path>) -> Result<PathBuf, PostgresError> {
    find_dir(&SERVER_PROGRAMS, bin_dir)
}

fn find_dir(programs: &[&str], bin_dir: Option<&Path>) -> Result<PathBuf, PostgresError> {
    match bin_dir {
        Some(dir) => holder(dir, programs).ok_or_else(|| PostgresError::NotInBinDir {
            missing: quoted(programs.iter().filter(|name| !is_program(&dir.join(name)))),
            bin_dir: dir.to_owned(),
            install: install_command(),
        }),
        None => search(programs, &places()),
    }
}

/// A place to search, and its name in errors.
struct SearchPlace {
    name: String,
    dirs: Vec<PathBuf>,
}

fn search(programs: &[&str], places: &[SearchPlace]) -> Result<PathBuf, PostgresError> {
    places.iter().flat_map(|place| &place.dirs).find_map(|dir| holder(dir, programs)).ok_or_else(|| {
        PostgresError::NotInstalled {
            program: programs.join("` and `"),
            searched: places.iter().map(|place| place.name.clone()).collect(),
            install: install_command(),
        }
    })
}

fn places() -> Vec<SearchPlace> {
    let mut places = vec![pg_config(), path()];
    places.extend(VERSIONED.iter().map(|(parent, before, after)| SearchPlace {
        name: Path::new(parent).join(format!("{before}*")).join(after).display().to_string(),
        dirs: versions(Path::new(parent), before, after),
    }));
    places
}

fn pg_config() -> SearchPlace {
    let outcome = output_within(Command::new("pg_config").arg("--bindir"), PG_CONFIG_LIMIT);
    let (name, dirs) = match outcome {
        Ok(output) if output.status.success() => {
            let dir = PathBuf::from(OsStr::from_bytes(output.stdout.trim_ascii()));
            (format!("pg_config --bindir ({})", dir.display()), vec![dir])
        }
        Ok(output) => (format!("pg_config --bindir (failed: {})", output.status), vec![]),
        Err(error) => (format!("pg_config --bindir ({error})"), vec![]),
    };
    SearchPlace { name, dirs: dirs.into_iter().filter(|dir| dir.is_absolute()).collect() }
}

fn path() -> SearchPlace {
    let path = env::var_os("PATH").unwrap_or_default();
    SearchPlace {
        name: format!("PATH ({})", path.display()),
        // With a relative entry, the programs would depend on the working directory.
        dirs: env::split_paths(&path).filter(|dir| dir.is_absolute()).collect(),
    }
}

fn versions(parent: &Path, before: &str, after: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return vec![] };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(before)?;
            // "9.6" counts as 9, which is old enough to come last.
            let major = version.split('.').next()?.parse().ok()?;
            Some((major, if after.is_empty() { entry.path() } else { entry.path().join(after) }))
        })
        .collect();
    found.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    found.into_iter().map(|(_, dir)| dir).collect()
}

/// The directory that holds all `programs`; `dir` may hold only links to them. PostgreSQL searches its other programs and
/// its libraries relative to itself, so the target of the links is the better answer.
fn holder(dir: &Path, programs: &[&str]) -> Option<PathBuf> {
    let complete = |dir: &Path| programs.iter().all(|name| is_program(&dir.join(name)));
    if !complete(dir) {
        return None;
    }
    let real = fs::canonicalize(dir.join(programs.first()?)).ok()?;
    match real.parent() {
        Some(parent) if complete(parent) => Some(parent.to_owned()),
        _ => fs::canonicalize(dir).ok(),
    }
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn quoted<'a>(names: impl Iterator<Item = &'a &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ")
}

/// The command that installs PostgreSQL on this system.
pub(super) fn install_command() -> String {
    if cfg!(target_os = "macos") {
        return "brew install postgresql@17".to_owned();
    }
    let os_release = ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|path| fs::read_to_string(path).ok());
    let command = install_command_for(&os_release.unwrap_or_default());
    if Uid::effective().is_root() { command.to_owned() } else { format!("sudo {command}") }
}

fn install_command_for(os_release: &str) -> &'static str {
    let value = |key: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned()
    };
    let ids = format!("{} {}", value("ID"), value("ID_LIKE"));
    // ID comes first, then the systems that this one resembles.
    ids.split_whitespace()
        .find_map(|id| match id {
            "debian" | "ubuntu" => Some("apt-get install postgresql"),
            "fedora" | "rhel" | "centos" | "amzn" => Some("dnf install postgresql-server"),
            "alpine" => Some("apk add postgresql"),
            "arch" => Some("pacman -S postgresql"),
            "suse" | "opensuse" => Some("zypper install postgresql-server"),
            _ => None,
        })
        .unwrap_or("apt-get install postgresql   (or use the package manager of your system)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn each_system_gets_its_own_install_command() {
        for (os_release, command) in [
            ("ID=debian", "apt-get install postgresql"),
            ("NAME=x\nID=linuxmint\nID_LIKE=\"ubuntu debian\"", "apt-get install postgresql"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"", "dnf install postgresql-server"),
            ("ID=alpine", "apk add postgresql"),
            ("ID=manjaro\nID_LIKE=arch", "pacman -S postgresql"),
            ("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"", "zypper install postgresql-server"),
        ] {
            assert_eq!(install_command_for(os_release), command, "{os_release}");
        }
        assert!(install_command_for("").contains("package manager"));
    }

    #[test]
    fn a_place_with_only_a_part_of_the_server_is_skipped() {
        let root = tempfile::tempdir().unwrap();
        let (client, server) = (root.path().join("client"), root.path().join("server"));
        program(&client.join("postgres"));
        program(&server.join("postgres"));
        program(&server.join("initdb"));
        let places = [client, server.clone()].map(|dir| SearchPlace { name: String::new(), dirs: vec![dir] });
        assert_eq!(search(&SERVER_PROGRAMS, &places).unwrap(), fs::canonicalize(server).unwrap());
    }

    #[test]
    fn links_lead_to_the_directory_that_holds_the_programs() {
        let root = tempfile::tempdir().unwrap();
        let (real, links) = (root.path().join("real"), root.path().join("links"));
        fs::create_dir(&links).unwrap();
        for name in SERVER_PROGRAMS {
            program(&real.join(name));
            std::os::unix::fs::symlink(real.join(name), links.join(name)).unwrap();
        }
        assert_eq!(holder(&links, &SERVER_PROGRAMS), fs::canonicalize(real).ok());
    }

    #[test]
    fn the_highest_version_comes_first() {
        let root = tempfile::tempdir().unwrap();
        for name in ["pgsql-9.6", "pgsql-15", "pgsql-17", "pgsql-x", "other-18"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        let expected = ["pgsql-17", "pgsql-15", "pgsql-9.6"].map(|name| root.path().join(name).join("bin"));
        assert_eq!(versions(root.path(), "pgsql-", "bin"), expected);
    }

    #[test]
    fn the_error_of_a_search_lists_every_place_and_the_install_command() {
        let places = [
            SearchPlace { name: "here".to_owned(), dirs: vec![] },
            SearchPlace { name: "there".to_owned(), dirs: vec![] },
        ];
        let message = search(&SERVER_PROGRAMS, &places).unwrap_err().to_string();
        for part in ["`postgres` and `initdb`", "  - here\n  - there", "install"] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
    }
}
