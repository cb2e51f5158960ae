//! A proxy between an application and PostgreSQL: it reports each statement and its answer, and can hold both.
//!
//! The application connects to the proxy as to PostgreSQL, with its own driver and its own pool. The proxy forwards the
//! bytes as they are, and reads only what it must know. Its owner receives an event for everything that happens on a
//! connection, in one order, and decides when a statement goes to the server and when an answer goes back.
//!
//! The words:
//!
//! - A **unit** is what a client sends before it waits: one Query, or the messages of the extended protocol up to a Sync or
//!   Flush. A unit that runs nothing is **housekeeping**.
//! - The **owner** is the program that started the proxy. It may **hold** a unit in front of the server, and **withhold**
//!   its answer from the client. It does so with permits. A permit that is dropped lets go what it holds.
//!
//! The guarantees:
//!
//! 1. **The same bytes.** What reaches the other side is what was sent, in the order in which it was sent. Only withheld
//!    notifications move, and only between messages. The proxy speaks itself only before a session has begun.
//! 2. **Events come first.** An event is in the owner's queue before the last of the bytes that it tells of is forwarded. So
//!    what an application does because of an answer has a higher number than the answer.
//! 3. **Bounded.** A message of any size passes in pieces. Every buffer, queue and wait has a limit in [`limits`], and what
//!    was cut is marked.
//! 4. **No guess.** If the proxy does not understand a message, it says [`ProxyEventKind::LostTrack`] and only forwards from
//!    there on. A value whose type is unknown is shown as bytes. A unit that was not answered is reported as such.
//!
//! ```no_run
//! use postgres_proxy::{HeldUnits, Owner, Proxy, ProxyEventKind, ProxyOptions, ServerAddress};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let (mut owner, events) = Owner::channel();
//! let server = ServerAddress::tcp("127.0.0.1", 5432);
//! let options = ProxyOptions { held_units: HeldUnits::Executing, events: Some(events), ..ProxyOptions::new(server) };
//! let proxy = Proxy::start(options).await?;
//! println!("postgres://app@{}/shop", proxy.address());
//! while let Some(event) = owner.next().await {
//!     match event.kind {
//!         ProxyEventKind::UnitArrived { unit, permit: Some(permit) } => {
//!             println!("{}: {}", event.connection, unit.sql());
//!             permit.release();
//!         }
//!         ProxyEventKind::UnitAnswered { answer, .. } => println!("{}: {:?}", event.connection, answer.last_tag()),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Layout, in reading order
//!
//! | file | concept |
//! |---|---|
//! | `proxy`, `registry` | the handle and the listener, the open connections |
//! | `owner`, `event`, `permit` | what the owner receives, and decides |
//! | `unit`, `answer`, `value`, `numeric` | what a client sends, what the server answers, and the values in both |
//! | `status` | the state of each connection, and counts |
//! | `connection` | the life of one connection |
//! | `startup` | the first packets, which have no tag |
//! | `to_server`, `to_client` | the two directions, where units and answers are held |
//! | `proxied` | what the two directions share |
//! | `conversation` | what the messages mean: the state of one connection, without bytes and without waits |
//! | `assembly`, `statements`, `replies` | the coming unit, prepared statements and portals, outstanding replies |
//! | `splitter`, `wire` | messages of a stream of bytes, and the parts of a message |
//! | `address`, `limits`, `error`, `delay` | the server, every limit, the errors, an owner that only delays |
//!
//! Deliberately not here: TLS, a pool of connections, several servers, and any judgement of what is read.

mod address;
mod answer;
mod assembly;
mod connection;
mod conversation;
mod delay;
mod error;
mod event;
pub mod limits;
mod numeric;
mod owner;
mod permit;
mod proxied;
mod proxy;
mod registry;
mod replies;
mod splitter;
mod startup;
mod statements;
mod status;
mod to_client;
mod to_server;
mod unit;
mod value;
mod wire;

pub use address::ServerAddress;
pub use answer::{AnswerEnd, BlockStatus, ResultField, ServerMessage, StatementResult, UnitAnswer};
pub use delay::delay_units;
pub use error::ProxyError;
pub use event::{ClosedBy, ClosedConnection, ConnectionId, Encryption, ProxyEvent, ProxyEventKind, StartupPacket};
pub use owner::{EventSender, Owner};
pub use permit::{AnswerPermit, HeldUnits, UnitPermit};
pub use proxy::{Proxy, ProxyOptions};
pub use status::{ConnectionActivity, ConnectionCounts, ConnectionStatus, ProxyCounts};
pub use unit::{ClientUnit, ClientUnitKind, UnitExecution};
pub use value::{ValueForm, WireValue};
pub use wire::KeptText;
