//! The life of one connection: first packet, server, both directions, end.

use std::io;
use std::pin::pin;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::address::{ServerAddress, ServerReader, ServerWriter};
use crate::event::{ClosedBy, ClosedConnection, ProxyEventKind};
use crate::limits::{CANCEL_TIMEOUT, CONNECT_TIMEOUT, DRAIN_TIMEOUT, STARTUP_TIMEOUT};
use crate::proxied::ProxiedConnection;
use crate::registry::OpenConnections;
use crate::startup::{FirstPacket, StartupEnd, fatal_response, read_first_packet};
use crate::to_client::ToClient;
use crate::to_server::{DirectionEnd, ToServer};

/// What closed, and the reason.
type Closing = (ClosedBy, Option<String>);

/// What a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Have a session.
    Session,
    /// Only send a cancel request, because the proxy serves as many sessions as it may.
    Full { max_connections: usize },
}

/// Serves a client to its end.
pub async fn serve(
    client: TcpStream,
    connection: &ProxiedConnection,
    server: &ServerAddress,
    open: &OpenConnections,
    place: Place,
) {
    connection.tell([ProxyEventKind::Accepted]).await;
    let (by, reason) = tokio::select! {
        closing = run(client, connection, server, open, place) => closing,
        () = connection.cut.notified() => (ClosedBy::Owner, None),
    };
    let (unanswered, by, status) = {
        let mut conversation = connection.conversation();
        conversation.held_unit = None;
        conversation.holds_answer = false;
        let by = match by {
            ClosedBy::Client | ClosedBy::Server if conversation.said_goodbye => ClosedBy::Goodbye,
            // The client may be faster to close than the server that ends the session.
            ClosedBy::Client if conversation.is_ended_by_server => ClosedBy::Server,
            by => by,
        };
        (conversation.lose_connection(), by, conversation.status)
    };
    open.remove(connection.id);
    connection.tell_ended(unanswered).await;
    let closed = ClosedConnection { by, was_ready: status.is_some(), status, reason };
    connection.tell([ProxyEventKind::Closed(closed)]).await;
}

async fn run(
    mut client: TcpStream,
    connection: &ProxiedConnection,
    server: &ServerAddress,
    open: &OpenConnections,
    place: Place,
) -> Closing {
    let first = match timeout(STARTUP_TIMEOUT, read_first_packet(&mut client, connection)).await {
        Ok(Ok(first)) => first,
        Ok(Err(StartupEnd::ClosedByClient { after_refusal, error })) => {
            let by = if after_refusal { ClosedBy::ClientWantsEncryption } else { ClosedBy::Client };
            return (by, error.map(|error| error.to_string()));
        }
        Ok(Err(StartupEnd::Malformed(reason))) => {
            return answer_fatal(client, connection, "08P01", format!("the client sent {reason}")).await;
        }
        Err(_) => {
            let reason = format!("no startup packet came within {} s", STARTUP_TIMEOUT.as_secs());
            return answer_fatal(client, connection, "08P01", reason).await;
        }
    };
    if let (Place::Full { max_connections }, FirstPacket::Session { .. }) = (place, &first) {
        let reason = format!("the proxy serves at most {max_connections} connections at a time");
        return answer_fatal(client, connection, "53300", reason).await;
    }
    let (reader, writer) = match server.connect(CONNECT_TIMEOUT).await {
        Ok(halves) => halves,
        Err(error) => {
            let reason = format!("the proxy cannot reach PostgreSQL at {server}: {error}");
            return answer_fatal(client, connection, "08001", reason).await;
        }
    };
    match first {
        FirstPacket::Cancel { bytes, backend_pid, backend_key } => {
            connection.totals.cancel_requests.add(1);
            let target = open.session_of(backend_pid, &backend_key);
            connection.tell([ProxyEventKind::CancelRequested { target }]).await;
            let passed_on = timeout(CANCEL_TIMEOUT, pass_on_cancel(reader, writer, &bytes)).await;
            let reason = match passed_on {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("the server did not close within {} s", CANCEL_TIMEOUT.as_secs())),
            };
            (ClosedBy::Server, reason)
        }
        FirstPacket::Session { bytes, packet } => {
            let _ = connection.startup.set(packet.clone());
            connection.tell([ProxyEventKind::Opened(packet)]).await;
            relay(client, connection, (reader, writer), &bytes).await
        }
    }
}

/// The server answers nothing; it closes when the cancel has been sent to the session.
async fn pass_on_cancel(mut reader: ServerReader, mut writer: ServerWriter, bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).await?;
    while reader.read(&mut [0; 16]).await? > 0 {}
    Ok(())
}

/// Tells the client why it is refused, and closes.
async fn answer_fatal(
    mut client: TcpStream,
    connection: &ProxiedConnection,
    sqlstate: &str,
    reason: String,
) -> Closing {
    connection.totals.refused.add(1);
    let answer = async {
        client.write_all(&fatal_response(sqlstate, &reason)).await?;
        client.shutdown().await?;
        let mut rest = [0; 1024];
        while client.read(&mut rest).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    let _ = timeout(DRAIN_TIMEOUT, answer).await;
    (ClosedBy::Refused, Some(reason))
}

async fn relay(
    client: TcpStream,
    connection: &ProxiedConnection,
    (reader, mut writer): (ServerReader, ServerWriter),
    startup: &[u8],
) -> Closing {
    if let Err(error) = writer.write_all(startup).await {
        let reason = format!("the server closed at the startup packet: {error}");
        return answer_fatal(client, connection, "08006", reason).await;
    }
    let (client_reader, client_writer) = client.into_split();
    let mut to_server = ToServer::new(connection, client_reader, writer);
    let mut to_client = ToClient::new(connection, reader, client_writer);
    let closing = {
        let mut upward = pin!(to_server.run());
        let mut downward = pin!(to_client.run());
        tokio::select! {
            end = &mut upward => match end {
                DirectionEnd::Cut => return (ClosedBy::Owner, None),
                // The client may still read: half-closed connections end when the server has answered.
                DirectionEnd::SourceClosed(error) => {
                    downward.await;
                    return (ClosedBy::Client, error.map(|error| error.to_string()));
                }
                // The server may have said why before it closed.
                DirectionEnd::TargetClosed(error) => {
                    let _ = timeout(DRAIN_TIMEOUT, downward).await;
                    (ClosedBy::Server, Some(error.to_string()))
                }
            },
            end = &mut downward => match end {
                DirectionEnd::SourceClosed(error) => (ClosedBy::Server, error.map(|error| error.to_string())),
                DirectionEnd::TargetClosed(error) => return (ClosedBy::Client, Some(error.to_string())),
                DirectionEnd::Cut => return (ClosedBy::Owner, None),
            },
        }
    };
    let _ = timeout(DRAIN_TIMEOUT, to_server.drain()).await;
    closing
}
