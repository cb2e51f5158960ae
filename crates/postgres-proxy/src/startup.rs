//! The first packets of a connection, which have no tag: requests for encryption, a cancel request, the startup packet.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::event::{Encryption, ProxyEventKind, StartupPacket};
use crate::limits::{MAX_ENCRYPTION_REQUESTS, MAX_STARTUP_BYTES};
use crate::proxied::ProxiedConnection;
use crate::wire::WireReader;

/// What a connection is for.
#[derive(Debug, PartialEq, Eq)]
pub enum FirstPacket {
    /// A session. The packet is forwarded as it came.
    Session { bytes: Vec<u8>, packet: StartupPacket },
    /// A cancel request. The packet is forwarded as it came.
    Cancel { bytes: Vec<u8>, backend_pid: i32, backend_key: Vec<u8> },
}

/// Why a connection ended before its first packet.
#[derive(Debug)]
pub enum StartupEnd {
    /// The client closed. The flag tells that the proxy had refused encryption.
    ClosedByClient { after_refusal: bool, error: Option<io::Error> },
    /// The bytes are no packet; the reason for the client.
    Malformed(String),
}

const TLS_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// Reads up to the first packet that is no request for encryption, and refuses those requests.
pub async fn read_first_packet(
    client: &mut TcpStream,
    connection: &ProxiedConnection,
) -> Result<FirstPacket, StartupEnd> {
    let mut after_refusal = false;
    for _ in 0..=MAX_ENCRYPTION_REQUESTS {
        let bytes = read_packet(client, after_refusal).await?;
        let mut reader = WireReader::new(&bytes[4..]);
        let encryption = match reader.u32() {
            Some(TLS_REQUEST) => Encryption::Tls,
            Some(GSS_REQUEST) => Encryption::Gss,
            Some(CANCEL_REQUEST) => {
                let backend_pid = reader.i32().ok_or_else(|| too_short("a cancel request"))?;
                let backend_key = reader.rest().to_vec();
                return Ok(FirstPacket::Cancel { bytes, backend_pid, backend_key });
            }
            code => {
                let packet = read_startup(code.unwrap_or_default(), reader);
                return Ok(FirstPacket::Session { bytes, packet });
            }
        };
        after_refusal = true;
        connection.totals.encryption_refused.add(1);
        connection.tell([ProxyEventKind::EncryptionRefused(encryption)]).await;
        client.write_all(b"N").await.map_err(|error| closed(after_refusal, error))?;
    }
    Err(StartupEnd::Malformed(format!("more than {MAX_ENCRYPTION_REQUESTS} requests for encryption")))
}

async fn read_packet(client: &mut TcpStream, after_refusal: bool) -> Result<Vec<u8>, StartupEnd> {
    let mut bytes = vec![0; 4];
    client.read_exact(&mut bytes).await.map_err(|error| closed(after_refusal, error))?;
    let length = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    if bytes[..2] == [0x16, 0x03] {
        let reason = "TLS without a request for it; the proxy offers no TLS, so use sslmode=disable or prefer";
        return Err(StartupEnd::Malformed(reason.to_owned()));
    }
    if !(8..=MAX_STARTUP_BYTES).contains(&length) {
        let reason = format!("a startup packet of {length} bytes; 8 to {MAX_STARTUP_BYTES} are allowed");
        return Err(StartupEnd::Malformed(reason));
    }
    bytes.resize(length, 0);
    client.read_exact(&mut bytes[4..]).await.map_err(|error| closed(after_refusal, error))?;
    Ok(bytes)
}

fn closed(after_refusal: bool, error: io::Error) -> StartupEnd {
    let is_in_order = error.kind() == io::ErrorKind::UnexpectedEof;
    StartupEnd::ClosedByClient { after_refusal, error: (!is_in_order).then_some(error) }
}

fn too_short(what: &str) -> StartupEnd {
    StartupEnd::Malformed(format!("{what} that is too short"))
}

/// The server judges the version and the parameters; here they are only read.
fn read_startup(code: u32, mut reader: WireReader<'_>) -> StartupPacket {
    let [high, low] = [code >> 16, code & 0xffff].map(|half| u16::try_from(half).unwrap_or_default());
    let mut parameters = Vec::new();
    while let Some(name) = reader.name().filter(|name| !name.is_empty()) {
        let Some(value) = reader.name() else { break };
        parameters.push((name, value));
    }
    StartupPacket { version: (high, low), parameters }
}

/// An error as the server would send it, after which the connection ends.
pub fn fatal_response(sqlstate: &str, message: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, value) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', sqlstate), (b'M', message)] {
        body.push(field);
        body.extend(value.as_bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [b"E".as_slice(), &length.to_be_bytes(), &body].concat()
}
