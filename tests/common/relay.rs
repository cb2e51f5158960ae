//! A proxy of TCP connections in front of PostgreSQL that can do what networks do: lead elsewhere, cut connections, hold what is on its
//! way, and cut a connection while a statement or its answer is on its way.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// Statements and answers are shorter.
const BUFFER_BYTES: usize = 16 * 1024;

/// A COMMIT is cut so many times as often as another message: it is the one whose lost answer matters most.
const COMMIT_WEIGHT: u32 = 4;

/// A proxy in front of several servers. Each connection stays with the server to which the relay pointed when it was opened.
pub struct Relay {
    port: u16,
    state: Arc<RelayState>,
    connections: Arc<Mutex<JoinSet<io::Result<()>>>>,
    _accepting: AbortOnDropHandle<()>,
}

/// What the relay does with its connections at present.
struct RelayState {
    /// The socket of the server for new connections.
    target: Mutex<PathBuf>,
    /// Whether nothing is forwarded.
    held: watch::Sender<bool>,
    /// The next statement that is prepared with one of these texts waits before its execution.
    late: Mutex<&'static [&'static str]>,
    /// Whether it waits still.
    late_held: watch::Sender<bool>,
    /// Whether its execution has been asked for.
    late_came: AtomicBool,
    /// How many of 1000 messages to the server end their connection.
    cuts_per_mille: AtomicU32,
}

impl Relay {
    /// Starts one that points at the server with this socket.
    pub async fn start(target: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let (held, late_held) = (watch::Sender::new(false), watch::Sender::new(false));
        let (target, late, late_came) = (Mutex::new(target), Mutex::default(), AtomicBool::new(false));
        let cuts_per_mille = AtomicU32::new(0);
        let state = Arc::new(RelayState { target, held, late, late_held, late_came, cuts_per_mille });
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let (shared, opened) = (Arc::clone(&state), Arc::clone(&connections));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut opened = locked(&opened);
                while opened.try_join_next().is_some() {}
                opened.spawn(carry(client, Arc::clone(&shared)));
            }
        });
        Self { port, state, connections, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// The same database through it.
    pub fn options(&self, of: &PgConnectOptions) -> PgConnectOptions {
        let url = of.to_url_lossy();
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(of.get_username())
            .password(url.password().unwrap_or_default())
            .database(of.get_database().expect("a database"))
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Points at another server. Connections that are open stay where they are.
    pub fn point_at(&self, target: PathBuf) {
        *locked(&self.state.target) = target;
    }

    /// Cuts the connections that are open. What the relay holds of theirs never arrives.
    pub fn cut(&self) {
        locked(&self.connections).abort_all();
    }

    /// Holds everything that is on its way, or lets it go.
    pub fn hold(&self, held: bool) {
        self.state.held.send_replace(held);
    }

    /// Holds the next statement that is prepared with one of these texts: the message after its text, which executes it.
    pub fn hold_statement(&self, texts: &'static [&'static str]) {
        self.state.late_held.send_replace(true);
        self.state.late_came.store(false, Ordering::Relaxed);
        *locked(&self.state.late) = texts;
    }

    /// Whether it holds such a statement.
    pub fn holds_statement(&self) -> bool {
        self.state.late_came.load(Ordering::Relaxed)
    }

    /// Forwards that statement, although its client may not wait for it any more.
    pub fn forward_statement(&self) {
        self.state.late_held.send_replace(false);
    }

    /// Cuts a connection at so many of 1000 messages to the server, one half of them before the message is forwarded, the other half
    /// after it and before its answer.
    pub fn cut_at_messages(&self, per_mille: u32) {
        self.state.cuts_per_mille.store(per_mille, Ordering::Relaxed);
    }
}

/// Forwards the bytes of one connection until either side ends it.
async fn carry(client: TcpStream, state: Arc<RelayState>) -> io::Result<()> {
    let target = locked(&state.target).clone();
    let (from_server, to_server) = UnixStream::connect(target).await?.into_split();
    let (from_client, to_client) = client.into_split();
    tokio::select! {
        ended = state.forward(from_client, to_server, true) => ended,
        ended = state.forward(from_server, to_client, false) => ended,
    }
}

enum Cut {
    Before,
    After,
}

impl RelayState {
    async fn forward(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        to_server: bool,
    ) -> io::Result<()> {
        let (mut buffer, mut executes_late) = (vec![0; BUFFER_BYTES], false);
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            let bytes = &buffer[..read];
            let held = if executes_late {
                self.late_came.store(true, Ordering::Relaxed);
                &self.late_held
            } else {
                &self.held
            };
            executes_late = to_server && self.is_late(bytes);
            // The sender lives as long as this state.
            let _ = held.subscribe().wait_for(|held| !held).await;
            match to_server.then(|| self.cut_at(bytes)).flatten() {
                None => to.write_all(bytes).await?,
                Some(Cut::Before) => return Ok(()),
                Some(Cut::After) => return to.write_all(bytes).await,
            }
        }
    }

    /// Whether a message prepares the statement that is to be held.
    fn is_late(&self, message: &[u8]) -> bool {
        let mut late = locked(&self.late);
        let has = |text: &&str| message.windows(text.len()).any(|part| part == text.as_bytes());
        let found = late.iter().any(has);
        if found {
            *late = &[];
        }
        found
    }

    fn cut_at(&self, message: &[u8]) -> Option<Cut> {
        let mut per_mille = self.cuts_per_mille.load(Ordering::Relaxed);
        if message.windows(6).any(|word| word.eq_ignore_ascii_case(b"commit")) {
            per_mille *= COMMIT_WEIGHT;
        }
        let cut = fastrand::u32(..1_000) < per_mille;
        cut.then(|| if fastrand::bool() { Cut::Before } else { Cut::After })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
