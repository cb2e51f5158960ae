//! The notices (NOTICE, WARNING, …) that PostgreSQL sends to a session of a file.
//!
//! sqlx hands a notice to the log of the process and not to the session that received it. So a session connects through a relay: a task
//! that passes on what the client and the server say, unchanged, and keeps the notices of the server. The relay sees a notice before sqlx
//! sees the answer behind it, so the notices of a statement are there when its answer is.
//!
//! A relay cannot read an encrypted connection. If the server is reached by TLS, sessions connect to it directly, and their notices are
//! not shown.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use uuid::Uuid;

use crate::database::connect;

/// Notices of one step that are kept. Further ones are counted.
const NOTICES_MAX: usize = 20;

/// The longest notice that is kept. Of a longer one, only its length is.
const NOTICE_BYTES_MAX: usize = 64 * 1024;

/// What a relay reads at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// The type of a message that is a notice: `NoticeResponse`.
const NOTICE: u8 = b'N';

/// The type of a message, and its length.
const HEADER_BYTES: usize = 5;

/// The notices that a session has received and that were not taken yet.
#[derive(Debug, Clone, Default)]
pub struct SessionNotices(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    texts: Vec<String>,
    more: u64,
}

impl SessionNotices {
    /// Takes them, in the order in which they came.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        let Kept { mut texts, more } = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        texts.extend((more > 0).then(|| format!("and {more} more")));
        texts
    }

    fn add(&self, text: String) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.texts.len() < NOTICES_MAX { kept.texts.push(text) } else { kept.more += 1 }
    }
}

/// Where the sessions of an exploration connect: a folder for the sockets of their relays, which only this user may enter.
#[derive(Debug)]
pub struct NoticeRelays {
    /// `None` if sessions connect to the server directly.
    folder: Option<PathBuf>,
}

impl NoticeRelays {
    /// Relays, if `connection`, which was opened with the same options as the sessions will be, is not encrypted.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn new(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let query =
            "select coalesce((select ssl from pg_catalog.pg_stat_ssl where pid = pg_catalog.pg_backend_pid()), true)";
        let is_encrypted: bool = sqlx::query_scalar(query).fetch_one(connection).await?;
        // The path of a socket has about 100 bytes at most, so the folder is not below TMPDIR.
        let folder = PathBuf::from(format!("/tmp/concurrency-lab-{}", Uuid::new_v4().simple()));
        if is_encrypted {
            return Ok(Self { folder: None });
        }
        match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => Ok(Self { folder: Some(folder) }),
            Err(error) => {
                tracing::warn!(%error, folder = %folder.display(), "cannot make a folder, so notices are not shown");
                Ok(Self { folder: None })
            }
        }
    }

    /// Opens the connection of a session, with the number of its session.
    ///
    /// # Errors
    /// As connecting does otherwise.
    pub async fn connect(
        &self,
        options: &PgConnectOptions,
        number: u16,
    ) -> Result<(PgConnection, SessionNotices), sqlx::Error> {
        let notices = SessionNotices::default();
        let Some(folder) = &self.folder else { return Ok((connect(options).await?, notices)) };
        let (server, port) = (ServerStream::connect(options).await?, number + 1);
        let socket = folder.join(format!(".s.PGSQL.{port}"));
        let listener = UnixListener::bind(&socket)?;
        let through = options.clone().socket(folder).port(port).ssl_mode(PgSslMode::Disable);
        // The level that PostgreSQL has by default.
        let through = through.options([("client_min_messages", "notice")]);
        let accepted = async {
            let (client, _) = listener.accept().await?;
            tokio::spawn(server.relay(client, notices.clone()));
            Ok::<_, sqlx::Error>(())
        };
        let opened = tokio::try_join!(PgConnection::connect_with(&through), accepted);
        std::fs::remove_file(&socket)?;
        opened.map(|(connection, ())| (connection, notices))
    }
}

impl Drop for NoticeRelays {
    fn drop(&mut self) {
        // Nothing is in it: a socket is removed as soon as its session has connected.
        let _ = self.folder.as_ref().map(std::fs::remove_dir);
    }
}

/// A connection to the server.
enum ServerStream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl ServerStream {
    async fn connect(options: &PgConnectOptions) -> io::Result<Self> {
        let (host, port) = (options.get_host(), options.get_port());
        let folder = options.get_socket().cloned().or_else(|| host.starts_with('/').then(|| PathBuf::from(host)));
        if let Some(folder) = folder {
            return Ok(Self::Unix(UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await?));
        }
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    async fn relay(self, client: UnixStream, notices: SessionNotices) {
        match self {
            Self::Unix(mut server) => {
                let (read, write) = server.split();
                relay(client, read, write, &notices).await;
            }
            Self::Tcp(mut server) => {
                let (read, write) = server.split();
                relay(client, read, write, &notices).await;
            }
        }
    }
}

/// Passes on what both sides say, until one of them closes its connection. Then both are closed.
async fn relay(
    mut client: UnixStream,
    from_server: impl AsyncRead + Unpin,
    mut to_server: impl AsyncWrite + Unpin,
    notices: &SessionNotices,
) {
    let (mut from_client, mut to_client) = client.split();
    let ended = tokio::select! {
        said = tokio::io::copy(&mut from_client, &mut to_server) => said.map(drop),
        said = without_notices(from_server, &mut to_client, notices) => said,
    };
    // The two sides have the error as well: a closed connection.
    if let Err(error) = ended {
        tracing::debug!(%error, "the connection of a session has ended");
    }
}

async fn without_notices(
    mut server: impl AsyncRead + Unpin,
    client: &mut (impl AsyncWrite + Unpin),
    notices: &SessionNotices,
) -> io::Result<()> {
    let mut filter = NoticeFilter::default();
    let (mut chunk, mut rest) = (vec![0; CHUNK_BYTES], Vec::new());
    loop {
        let length = server.read(&mut chunk).await?;
        if length == 0 {
            return Ok(());
        }
        rest.clear();
        filter.push(&chunk[..length], &mut rest, notices);
        client.write_all(&rest).await?;
    }
}

/// Takes the notices out of what a server says. A message is its type, its length with these four bytes, and its body.
#[derive(Debug, Default)]
struct NoticeFilter {
    /// The header of the next message, as far as it has arrived.
    header: Vec<u8>,
    /// The bytes that the body of the message still has.
    left: usize,
    /// The body of a notice, as far as it has arrived and is kept, and its length.
    notice: Option<(Vec<u8>, usize)>,
}

impl NoticeFilter {
    /// Adds notices to `notices`, and all the rest to `rest`.
    fn push(&mut self, mut bytes: &[u8], rest: &mut Vec<u8>, notices: &SessionNotices) {
        while !bytes.is_empty() {
            if self.header.len() < HEADER_BYTES {
                let taken = bytes.len().min(HEADER_BYTES - self.header.len());
                self.header.extend_from_slice(&bytes[..taken]);
                bytes = &bytes[taken..];
                let [kind, one, two, three, four] = self.header[..] else { continue };
                let length = [one, two, three, four];
                self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX).saturating_sub(4);
                if kind == NOTICE {
                    self.notice = Some((Vec::new(), self.left));
                } else {
                    rest.extend_from_slice(&self.header);
                }
            }
            let taken = bytes.len().min(self.left);
            match &mut self.notice {
                Some((_, length)) if *length > NOTICE_BYTES_MAX => {}
                Some((body, _)) => body.extend_from_slice(&bytes[..taken]),
                None => rest.extend_from_slice(&bytes[..taken]),
            }
            (self.left, bytes) = (self.left - taken, &bytes[taken..]);
            if self.left == 0 {
                self.header.clear();
                if let Some((body, length)) = self.notice.take() {
                    notices.add(text(&body, length));
                }
            }
        }
    }
}

/// A notice in words: its severity and its message, and what else it says for people.
fn text(body: &[u8], length: usize) -> String {
    if length > NOTICE_BYTES_MAX {
        return format!("a notice of {length} bytes, which is too long to be shown");
    }
    // A field is a byte that says which one it is, and its value, ended by a zero.
    let fields = || body.split(|byte| *byte == 0);
    let field = |wanted: u8| {
        let field = fields().find_map(|field| field.split_first().filter(|(kind, _)| **kind == wanted));
        field.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    // `V` is the severity in English, `S` in the language of the server.
    let severity = field(b'V').or_else(|| field(b'S')).unwrap_or_else(|| "NOTICE".to_owned());
    let more = [("DETAIL", field(b'D')), ("HINT", field(b'H'))];
    let more = more.into_iter().filter_map(|(name, value)| Some(format!("; {name}: {}", value?)));
    format!("{severity}: {}", field(b'M').unwrap_or_default()) + &more.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    #[test]
    fn notices_are_kept_and_all_the_rest_is_passed_on_however_it_arrives() {
        let notice = message(b'N', b"SHINWEIS\0VNOTICE\0C00000\0Mlow balance\0DIt is 3.\0HPay in.\0\0");
        let others = [message(b'C', b"SELECT 1\0"), message(b'n', b""), message(b'Z', b"I")];
        let said = [&others[0], &notice, &others[1], &notice, &others[2]].map(Vec::as_slice).concat();
        for size in [1, 2, 3, 7, said.len()] {
            let (mut filter, mut rest, notices) = (NoticeFilter::default(), Vec::new(), SessionNotices::default());
            for chunk in said.chunks(size) {
                filter.push(chunk, &mut rest, &notices);
            }
            assert_eq!(rest, others.concat(), "chunks of {size}");
            assert_eq!(notices.take(), ["NOTICE: low balance; DETAIL: It is 3.; HINT: Pay in."; 2]);
            assert_eq!(notices.take(), Vec::<String>::new(), "they were taken");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (mut filter, mut rest, notices) = (NoticeFilter::default(), Vec::new(), SessionNotices::default());
        let long = [b"SWARNING\0M".as_slice(), &vec![b'x'; NOTICE_BYTES_MAX], b"\0\0"].concat();
        filter.push(&message(b'N', &long), &mut rest, &notices);
        for _ in 0..NOTICES_MAX + 2 {
            filter.push(&message(b'N', b"SWARNING\0Mshort\0\0"), &mut rest, &notices);
        }
        let kept = notices.take();
        assert!(rest.is_empty() && kept.len() == NOTICES_MAX + 1, "{kept:?}");
        assert_eq!(kept[0], format!("a notice of {} bytes, which is too long to be shown", long.len()));
        assert_eq!((kept[1].as_str(), kept[NOTICES_MAX].as_str()), ("WARNING: short", "and 3 more"));
    }
}
