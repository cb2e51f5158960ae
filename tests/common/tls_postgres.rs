//! A PostgreSQL that encrypts its connections, with a certificate of version 1 or 3.
//!
//! `openssl x509 -req` has made version 1 by default up to OpenSSL 3.1, and cannot make it any more since. So the certificates are files, with
//! keys that protect nothing:
//!
//! ```sh
//! openssl req -new -newkey rsa:2048 -nodes -subj /CN=localhost -keyout version1.key -out version1.csr
//! openssl x509 -req -in version1.csr -signkey version1.key -days 36500 -out version1.crt
//! openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 36500 -addext basicConstraints=critical,CA:FALSE \
//!     -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout version3.key -out version3.crt
//! ```

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use private_postgres::find_program;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tempfile::TempDir;

use super::{account, directory, eventually, repository};

const USER: &str = "owner";

/// A PostgreSQL on a port of 127.0.0.1 that accepts only encrypted connections there. It is stopped when dropped.
pub struct TlsPostgres {
    child: Child,
    directory: TempDir,
    port: u16,
}

impl TlsPostgres {
    /// Starts one with this certificate: `version1` or `version3`.
    pub async fn start(certificate: &str) -> Self {
        let directory = directory();
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).expect("its mode");
        let data = directory.path().join("data");
        let mut initdb = program("initdb");
        initdb.args(["--no-locale", "--encoding=UTF8", "--auth=trust", "--no-sync", "--username", USER, "--pgdata"]);
        assert!(initdb.arg(&data).status().expect("initdb starts").success());
        for (kind, mode) in [("crt", 0o644), ("key", 0o600)] {
            let copy = data.join(format!("server.{kind}"));
            std::fs::copy(certificate_file(certificate, kind), &copy).expect("a copy");
            std::fs::set_permissions(&copy, PermissionsExt::from_mode(mode)).expect("its mode");
            if let Some(account) = account() {
                chown(&copy, Some(account.uid.as_raw()), Some(account.gid.as_raw())).expect("its owner");
            }
        }
        std::fs::write(data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\nlocal all all trust\n")
            .expect("a file");
        // Another process could take the port before PostgreSQL does; then the test fails and says so.
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        let mut postgres = program("postgres");
        postgres.arg("-D").arg(&data).args(["-c", "ssl=on", "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        postgres.args(["-p", &port.to_string(), "-k"]).arg(directory.path());
        let child = postgres.stderr(Stdio::null()).spawn().expect("postgres starts");
        let started = Self { child, directory, port };
        let local = started.options().socket(started.directory.path()).ssl_mode(PgSslMode::Disable);
        eventually("the PostgreSQL with TLS answers", async || local.connect().await.is_ok()).await;
        started
    }

    /// How to connect; the mode is still to be set.
    pub fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass().host("localhost").port(self.port).username(USER).database("postgres")
    }

    /// The same as a URL.
    pub fn url(&self, mode: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/postgres?sslmode={mode}", self.port)
    }
}

impl Drop for TlsPostgres {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGQUIT);
        let _ = self.child.wait();
    }
}

/// A file of a certificate, `crt` or `key`.
pub fn certificate_file(certificate: &str, kind: &str) -> PathBuf {
    repository().join("tests/common/certificates").join(format!("{certificate}.{kind}"))
}

fn program(name: &str) -> Command {
    let mut command = Command::new(find_program(name, None).expect("a program of PostgreSQL"));
    command.env_clear().current_dir(Path::new("/")).stdout(Stdio::null());
    if let Some(account) = account() {
        command.uid(account.uid.as_raw()).gid(account.gid.as_raw());
    }
    command
}
