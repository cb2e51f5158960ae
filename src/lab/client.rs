//! One HTTP client: a keep-alive connection that sends one request at a time and retries nothing.
//!
//! The task that waits for the answer also drives the connection; there is no task for the connection. A request then wakes
//! one task instead of two, which is most of what a request costs here.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer may take. Longer than a server's own request timeout, because its 504 is more precise than no answer.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(4);

/// The longest body that the client reads, in bytes. An event with a thousand bookings has about 150 KB.
const BODY_MAX: usize = 4 << 20;

/// A complete answer.
#[derive(Debug, Clone)]
pub struct HttpAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
}

/// The error that ends a connection.
type ConnectionFault = Box<dyn std::error::Error + Send + Sync>;

/// The reason why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection did not open: the request was not sent.
    #[error("cannot connect to {0}: {1}")]
    Connect(SocketAddr, #[source] std::io::Error),
    /// The connection broke, or the answer is not HTTP: the request may have been executed.
    #[error("the connection broke: {0}")]
    Broken(#[source] ConnectionFault),
    /// No answer in time: the request may have been executed.
    #[error("no answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Silent,
}

/// A client with one connection. It opens the connection when it needs one, and again after it broke.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    host: HeaderValue,
    think_time_ms: Option<HeaderValue>,
    open: Option<OpenConnection>,
}

#[derive(Debug)]
struct OpenConnection {
    sender: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
}

impl OpenConnection {
    /// The connection, unless the server has closed it meanwhile, as servers do with idle connections.
    fn if_alive(mut self) -> Option<Self> {
        let mut context = Context::from_waker(Waker::noop());
        let alive = !self.sender.is_closed() && self.connection.as_mut().poll(&mut context).is_pending();
        alive.then_some(self)
    }
}

impl Client {
    /// A client of this server; `host` is the value of the Host header.
    #[must_use]
    pub fn new(address: SocketAddr, host: HeaderValue) -> Self {
        Self { address, host, think_time_ms: None, open: None }
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
        self.open = Some(self.dial().await?);
        Ok(())
    }

    async fn dial(&self) -> Result<OpenConnection, ClientError> {
        let failed = |error| ClientError::Connect(self.address, error);
        let stream = match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(self.address)).await {
            Ok(connected) => connected.map_err(failed)?,
            Err(_elapsed) => return Err(failed(std::io::ErrorKind::TimedOut.into())),
        };
        stream.set_nodelay(true).map_err(failed)?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| ClientError::Broken(error.into()))?;
        Ok(OpenConnection { sender, connection: Box::pin(connection) })
    }

    /// Sends one request and reads its whole answer; `trace` asks for its statements.
    ///
    /// # Errors
    /// See [`ClientError`]: all but `Connect` leave the outcome unknown.
    pub async fn send(
        &mut self,
        method: Method,
        uri: Uri,
        body: Bytes,
        trace: bool,
    ) -> Result<HttpAnswer, ClientError> {
        // Taken out, and put back only after a whole answer. So a broken connection is not used again, and neither is one on
        // which the answer to an abandoned request may still arrive.
        let mut open = match self.open.take().and_then(OpenConnection::if_alive) {
            Some(open) => open,
            None => self.dial().await?,
        };
        let request = self.request(method, uri, body, trace);
        let OpenConnection { sender, connection } = &mut open;
        let exchange = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            Ok::<_, ConnectionFault>(HttpAnswer {
                status: head.status,
                headers: head.headers,
                body: Limited::new(body, BODY_MAX).collect().await?.to_bytes(),
            })
        };
        let driven = async {
            tokio::pin!(exchange);
            tokio::select! {
                biased;
                answer = &mut exchange => Ok((answer?, true)),
                // The connection may end with its last answer, which has arrived then.
                ended = connection => match ended {
                    Ok(()) => Ok((exchange.await?, false)),
                    Err(error) => Err(error.into()),
                },
            }
        };
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, driven).await.map_err(|_elapsed| ClientError::Silent)?;
        let (answer, reusable) = answered.map_err(ClientError::Broken)?;
        if reusable {
            self.open = Some(open);
        }
        Ok(answer)
    }

    fn request(&self, method: Method, uri: Uri, body: Bytes, trace: bool) -> Request<Full<Bytes>> {
        let json = !body.is_empty();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        if json {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(think_time_ms) = &self.think_time_ms {
            headers.insert(HeaderName::from_static("lab-think-time"), think_time_ms.clone());
        }
        if trace {
            headers.insert(HeaderName::from_static("lab-trace"), HeaderValue::from_static("1"));
        }
        request
    }
}
