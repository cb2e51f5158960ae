//! A client that writes messages byte by byte.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fixture::LIMIT;

pub const SYNC: &[u8] = b"S\0\0\0\x04";
pub const FLUSH: &[u8] = b"H\0\0\0\x04";
pub const TERMINATE: &[u8] = b"X\0\0\0\x04";

pub const PROTOCOL_3_0: u32 = 3 << 16;

pub struct RawClient {
    pub stream: TcpStream,
}

impl RawClient {
    pub async fn open(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap() }
    }

    /// A session of the user `raw`, ready for its first unit.
    pub async fn ready(address: SocketAddr) -> Self {
        let mut client = Self::open(address).await;
        client.send(&startup(PROTOCOL_3_0, "raw")).await;
        client.until(b'Z').await;
        client
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next message; none at the end of the stream.
    pub async fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        let read = async {
            let mut head = [0; 5];
            self.stream.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
            let mut body = vec![0; length as usize - 4];
            self.stream.read_exact(&mut body).await.ok()?;
            Some((head[0], body))
        };
        timeout(LIMIT, read).await.expect("a message in time")
    }

    /// The tags of the messages up to one with this tag, and the body of that one.
    pub async fn until(&mut self, tag: u8) -> (String, Vec<u8>) {
        let mut tags = String::new();
        loop {
            let (next, body) = self.message().await.unwrap_or_else(|| panic!("no {:?} after {tags}", tag as char));
            tags.push(next.into());
            if next == tag {
                return (tags, body);
            }
        }
    }

    /// All that comes up to the end of the stream.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = timeout(LIMIT, self.stream.read_to_end(&mut bytes)).await.expect("the end in time");
        bytes
    }
}

pub fn startup(version: u32, user: &str) -> Vec<u8> {
    let body = [&version.to_be_bytes(), format!("user\0{user}\0database\0postgres\0\0").as_bytes()].concat();
    [&u32::try_from(body.len() + 4).unwrap().to_be_bytes(), body.as_slice()].concat()
}

pub fn message(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&[tag], u32::try_from(body.len() + 4).unwrap().to_be_bytes().as_slice(), &body].concat()
}

pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &[sql.as_bytes(), b"\0"])
}

pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', &[name.as_bytes(), b"\0", sql.as_bytes(), b"\0\0\0"])
}

/// Binds text values to the unnamed portal.
pub fn bind(statement: &str, values: &[&str]) -> Vec<u8> {
    let count = u16::try_from(values.len()).unwrap().to_be_bytes();
    let mut body = [b"\0", statement.as_bytes(), b"\0\0\0", &count].concat();
    for value in values {
        body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend(value.as_bytes());
    }
    message(b'B', &[&body, b"\0\0"])
}

pub fn execute() -> Vec<u8> {
    execute_rows(0)
}

pub fn execute_rows(max_rows: u32) -> Vec<u8> {
    message(b'E', &[b"\0", &max_rows.to_be_bytes()])
}

pub fn describe_statement(name: &str) -> Vec<u8> {
    message(b'D', &[b"S", name.as_bytes(), b"\0"])
}

/// Parse, Bind and Execute of a statement without values.
pub fn run(sql: &str) -> Vec<u8> {
    [parse("", sql), bind("", &[]), execute()].concat()
}
