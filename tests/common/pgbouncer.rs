//! A PgBouncer in front of the PostgreSQL that the tests share.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use super::{account, directory};

/// It is part of the name of the socket. No other process uses the socket's directory.
const PORT: u16 = 6432;

/// Startup parameters that it ignores in many installations, because some programs send them.
pub const IGNORES_OPTIONS: &str = "ignore_startup_parameters = extra_float_digits, options";

/// The user of its console.
pub const ADMINISTRATOR: &str = "administrator";

/// A PgBouncer. It is killed when dropped.
pub struct PgBouncer {
    child: Child,
    directory: TempDir,
    given: PgConnectOptions,
}

impl PgBouncer {
    /// Starts one in front of this database, in a mode, with further lines of its configuration.
    pub fn start(database: &PgConnectOptions, mode: &str, lines: &[&str]) -> Self {
        let directory = directory();
        // It runs as another user when the tests run as root.
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).expect("its mode");
        let child = spawn(directory.path(), database, mode, lines);
        Self { child, directory, given: database.clone() }
    }

    /// Stops it, and starts it in another mode at the same place.
    pub fn restart(&mut self, mode: &str, lines: &[&str]) {
        self.end();
        self.child = spawn(self.directory.path(), &self.given, mode, lines);
    }

    /// The same database through it.
    pub fn options(&self) -> PgConnectOptions {
        let database = self.given.get_database().expect("a database");
        PgConnectOptions::new_without_pgpass()
            .socket(self.directory.path())
            .port(PORT)
            .username(self.given.get_username())
            .database(database)
    }

    /// What it has written to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(socket(self.directory.path()));
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.end();
    }
}

fn socket(directory: &Path) -> PathBuf {
    directory.join(format!(".s.PGSQL.{PORT}"))
}

fn spawn(directory: &Path, database: &PgConnectOptions, mode: &str, lines: &[&str]) -> Child {
    let path = directory.join("pgbouncer.ini");
    let (url, folder) = (database.to_url_lossy(), directory.display());
    // PgBouncer ignores the line of a database with an empty password.
    let password = url.password().map(|password| format!(" password='{password}'")).unwrap_or_default();
    let host = database.get_socket().expect("a socket").display().to_string();
    let configuration = format!(
        "[databases]\n* = host='{host}' port={} user={}{password}\n\n[pgbouncer]\nlisten_port = {PORT}\n\
         unix_socket_dir = {folder}\nauth_type = trust\n\
         auth_file = {folder}/users\nadmin_users = {ADMINISTRATOR}\npool_mode = {mode}\nlogfile = {folder}/log\n\
         default_pool_size = 60\n{}\n",
        database.get_port(),
        database.get_username(),
        lines.join("\n"),
    );
    std::fs::write(&path, configuration).expect("a file");
    let users = format!("\"{}\" \"\"\n\"{ADMINISTRATOR}\" \"\"\n", database.get_username());
    std::fs::write(directory.join("users"), users).expect("a file");
    let mut command = Command::new(program());
    if let Some(account) = account() {
        command.args(["-u", &account.name]);
    }
    let mut child = command.arg("-q").arg(&path).stderr(Stdio::null()).spawn().expect("PgBouncer starts");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !socket(directory).exists() {
        let ended = child.try_wait().expect("its state");
        let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
        assert!(ended.is_none() && Instant::now() < deadline, "PgBouncer does not start: {log}");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// Debian installs it where only root's PATH looks.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let found = folders.map(|folder| folder.join("pgbouncer")).find(|program| program.is_file());
    found.expect("pgbouncer is not installed; scripts/setup.sh test installs it")
}
