//! Client connections: the server accepts them up to a bound, serves them with time limits, and ends them gracefully.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::HttpService;
use super::client_stream::{ClientStream, ExchangeState};
use crate::config::Limits;

/// Connections that the kernel may queue until the server accepts them. The kernel caps this at `net.core.somaxconn`.
const BACKLOG: u32 = 16_384;

/// The pause after a failed accept, for example when file descriptors ran out, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Opens the listening socket.
///
/// # Errors
/// The error of the operating system: the address is in use, does not belong to this machine, or is not permitted.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for connections of the previous process that are still in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `stop` resolves. Then it lets requests in flight finish, for at most `limits.drain`.
pub async fn serve(listener: TcpListener, http_service: HttpService, limits: &Limits, stop: impl Future<Output = ()>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.header_read_timeout);
    let connections = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(limits.client_connections));
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &permits) => accepted,
            () = &mut stop => break,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            // The client closed the connection before it was accepted. This is no error, so the loop goes on without a
            // pause.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (http_service, exchange) = (http_service.clone(), ExchangeState::default());
        let stream = ClientStream::new(stream, exchange.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (http_service, exchange) = (http_service.clone(), exchange.clone());
            exchange.begin();
            async move {
                let answer = http_service.answer(request.map(Body::new)).await;
                let (head, body) = answer.into_parts();
                let body = exchange.send(&head.headers, body);
                Ok::<_, Infallible>(Response::from_parts(head, body))
            }
        });
        let connection = connections.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a client connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    let open = connections.count();
    if tokio::time::timeout(limits.drain, connections.shutdown()).await.is_err() {
        tracing::warn!(open_before = open, "some requests did not finish within {} s", limits.drain.as_secs());
    }
}

async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Answers are small and complete, so delaying them gains nothing. The call fails if the client has already
    // disconnected.
    let _ = stream.set_nodelay(true);
    Ok((stream, permit))
}
