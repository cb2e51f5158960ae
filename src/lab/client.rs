//! One HTTP client: a keep-alive connection that sends one request at a time and retries nothing.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer may take. Longer than a server's own request timeout: its 504 says more than our giving up.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(4);

/// A complete answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
}

impl Answer {
    /// A header that holds a whole number, quoted (as an `ETag`) or not.
    #[must_use]
    pub fn number(&self, header: &str) -> Option<i64> {
        self.headers.get(header)?.to_str().ok()?.trim_matches('"').parse().ok()
    }
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection did not open: the request was not sent.
    #[error("cannot connect to {0}: {1}")]
    Connect(SocketAddr, #[source] std::io::Error),
    /// The connection broke: the request may have been carried out.
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    /// No answer in time: the request may have been carried out.
    #[error("no answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Silent,
}

/// A client with one connection, opened when it is needed and again after it broke.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    host: HeaderValue,
    think_time_ms: Option<HeaderValue>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// A client of this server; `host` is what it is called by.
    #[must_use]
    pub fn new(address: SocketAddr, host: HeaderValue) -> Self {
        Self { address, host, think_time_ms: None, connection: None }
    }

    /// Asks for a think time with every request.
    #[must_use]
    pub fn with_think_time(mut self, think_time: Option<Duration>) -> Self {
        self.think_time_ms = think_time.and_then(|pause| HeaderValue::from_str(&pause.as_millis().to_string()).ok());
        self
    }

    /// Opens the connection, so that the first request does not have to.
    ///
    /// # Errors
    /// [`ClientError::Connect`].
    pub async fn connect(&mut self) -> Result<(), ClientError> {
        let failed = |error| ClientError::Connect(self.address, error);
        let stream = match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(self.address)).await {
            Ok(connected) => connected.map_err(failed)?,
            Err(_elapsed) => return Err(failed(std::io::ErrorKind::TimedOut.into())),
        };
        stream.set_nodelay(true).map_err(failed)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // Its error reaches the request in flight; without one, nobody is affected.
            let _ = connection.await;
        });
        self.connection = Some(sender);
        Ok(())
    }

    /// Sends one request and reads its whole answer.
    ///
    /// # Errors
    /// See [`ClientError`]: all but `Connect` leave the outcome unknown.
    pub async fn send(&mut self, method: Method, path: &str, body: &Bytes) -> Result<Answer, ClientError> {
        let sender = match &mut self.connection {
            Some(sender) if !sender.is_closed() => sender,
            _ => {
                self.connect().await?;
                let Some(sender) = &mut self.connection else { return Err(ClientError::Silent) };
                sender
            }
        };
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(think_time_ms) = &self.think_time_ms {
            headers.insert("lab-think-time", think_time_ms.clone());
        }
        let exchange = async {
            let response = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, hyper::Error>(Answer { status: head.status, headers: head.headers, body })
        };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, exchange).await;
        if !matches!(answer, Ok(Ok(_))) {
            self.connection = None;
        }
        Ok(answer.map_err(|_elapsed| ClientError::Silent)??)
    }
}
