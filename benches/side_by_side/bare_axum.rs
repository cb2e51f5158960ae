//! The reference for HTTP: axum with one route and nothing else.
//!
//! It reads and parses the same body and answers the same constant as `/ceiling/balance`, without its limits, ids and
//! checks. It is this program itself, started again with a hidden option, on the same runtime as the server.

use std::io::Write as _;

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::patch;
use axum::serve::ListenerExt as _;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::Failure;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only parsed, to pay the cost of parsing")]
struct BalanceBody {
    user_id: i64,
    amount: i64,
}

/// Serves until SIGTERM, or until standard input ends because the parent process has ended.
pub async fn serve() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Failure::environment)?;
    let address = listener.local_addr().map_err(Failure::environment)?;
    let mut out = std::io::stdout();
    writeln!(out, "listening on http://{address}").and_then(|()| out.flush()).map_err(Failure::environment)?;
    // The server does the same. Without it, small answers might wait for acknowledgements.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let mut terminated = signal(SignalKind::terminate()).map_err(Failure::environment)?;
    let router = Router::new().route("/balance", patch(change));
    tokio::select! {
        served = axum::serve(listener, router) => served.map_err(Failure::environment),
        _ = terminated.recv() => Ok(()),
        () = parent_gone() => Ok(()),
    }
}

async fn change(body: Bytes) -> Response {
    match serde_json::from_slice::<BalanceBody>(&body) {
        Ok(_) => ([(header::CONTENT_TYPE, "application/json")], r#"{"balance":10000}"#).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn parent_gone() {
    let mut byte = [0];
    while tokio::io::stdin().read(&mut byte).await.is_ok_and(|read| read > 0) {}
}
