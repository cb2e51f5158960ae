//! The routes of a balance: change it, deposit, withdraw, read it, reset.

use std::str::FromStr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use strum::VariantNames;

use super::answer::Rejection;
use super::body::{self, Amounts, BalanceBody};
use super::guard::SessionId;
use super::{App, Desk, answer, headers};
use crate::database::seed::Seed;
use crate::domain::{Account, BalanceChange};
use crate::engine::Experiment;

#[derive(Serialize)]
struct Balance {
    balance: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserBalance {
    user_id: i64,
    balance: i64,
}

/// `PATCH /balance`: `{"userId":1,"amount":-2}` → `{"balance":9998}`.
pub async fn change(State(desk): State<Desk>, request: Request) -> Result<Response, Rejection> {
    desk.change(request, Amounts::Any).await
}

/// `POST /deposit`: an amount from 1.
pub async fn deposit(State(desk): State<Desk>, request: Request) -> Result<Response, Rejection> {
    desk.change(request, Amounts::Deposit).await
}

/// `POST /withdraw`: an amount from 1.
pub async fn withdraw(State(desk): State<Desk>, request: Request) -> Result<Response, Rejection> {
    desk.change(request, Amounts::Withdrawal).await
}

/// `PATCH /ceiling/balance`: everything that HTTP costs and nothing else; the limit of what any approach can reach here.
pub async fn ceiling(State(app): State<Arc<App>>, request: Request) -> Result<Response, Rejection> {
    let (parts, body) = request.into_parts();
    body::balance(&parts.headers, body, Amounts::Any, app.engine.limits()).await?;
    Ok(answer::json(StatusCode::OK, &Balance { balance: 10_000 }))
}

/// `GET /balance/{userId}`.
pub async fn read_by_path(
    State(desk): State<Desk>,
    Path(user): Path<String>,
    request: Request,
) -> Result<Response, Rejection> {
    desk.read(request, &user).await
}

/// The query of `GET /balance`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserQuery {
    user_id: Option<String>,
}

/// `GET /balance?userId=1`.
pub async fn read_by_query(
    State(desk): State<Desk>,
    query: Result<Query<UserQuery>, QueryRejection>,
    request: Request,
) -> Result<Response, Rejection> {
    match query {
        Ok(Query(UserQuery { user_id: Some(user) })) => desk.read(request, &user).await,
        Ok(_) => Err(Rejection::invalid("userId: missing; as in /balance?userId=1 or /balance/1")),
        Err(error) => Err(Rejection::invalid(format!("query: {}", error.body_text()))),
    }
}

impl Desk {
    async fn change(&self, request: Request, amounts: Amounts) -> Result<Response, Rejection> {
        let (id, change, experiment) = self.read_change(request, amounts).await?;
        let outcome = self.app.engine.change_balance(id.0, self.approach, change, experiment).await;
        let body = |account: &Account| answer::json(StatusCode::OK, &Balance { balance: account.balance });
        Ok(answer::account(id, &outcome, body, Some(change.user)))
    }

    /// Takes from a request what it asks for, and lets go of it: its headers keep the connection's read buffer from
    /// being used again, which is 8 KB for each request that waits.
    async fn read_change(
        &self,
        request: Request,
        amounts: Amounts,
    ) -> Result<(SessionId, BalanceChange, Experiment), Rejection> {
        let (parts, body) = request.into_parts();
        let BalanceBody { user_id, amount } =
            body::balance(&parts.headers, body, amounts, self.app.engine.limits()).await?;
        let experiment = headers::experiment(&parts.headers, self.app.lab_headers)?;
        let if_version = headers::if_version(&parts.headers, self.approach)?;
        let change = BalanceChange { user: user_id, amount: amounts.signed(amount), if_version };
        Ok((SessionId::of(&parts.extensions), change, experiment))
    }

    async fn read(&self, request: Request, user: &str) -> Result<Response, Rejection> {
        let user_id = body::user_id(user)?;
        let experiment = headers::experiment(request.headers(), self.app.lab_headers)?;
        let id = SessionId::of(request.extensions());
        drop(request);
        let outcome = self.app.engine.read_balance(id.0, self.approach, user_id, experiment).await;
        let body = |account: &Account| answer::json(StatusCode::OK, &UserBalance { user_id, balance: account.balance });
        Ok(answer::account(id, &outcome, body, None))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetBody {
    seed: Option<String>,
}

/// `POST /reset`: no body, an empty one, `{"seed":"mixed"}` or `?seed=mixed` → `{"seed":"mixed"}`.
pub async fn reset(State(desk): State<Desk>, request: Request) -> Result<Response, Rejection> {
    let app = &desk.app;
    let (parts, body) = request.into_parts();
    let id = SessionId::of(&parts.extensions);
    let bytes = body::collect(body, app.engine.limits()).await?;
    let seed = chosen_seed(&parts.uri, &parts.headers, &bytes)?.unwrap_or(app.seed);
    Ok(match app.engine.reset(seed).await {
        Ok(()) => answer::json(StatusCode::OK, &ResetDone { seed: seed.into() }),
        Err(error) => answer::failure(id, &error),
    })
}

#[derive(Serialize)]
struct ResetDone {
    seed: &'static str,
}

fn chosen_seed(uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Result<Option<Seed>, Rejection> {
    let Query(query) = Query::<ResetBody>::try_from_uri(uri)
        .map_err(|error| Rejection::invalid(format!("query: {}", error.body_text())))?;
    let in_body = if body.trim_ascii().is_empty() {
        None
    } else {
        body::require_json(headers)?;
        let body: ResetBody = body::from_object(body).map_err(|error| {
            let status = if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
            Rejection::new(status, format!("body: expected nothing or {{\"seed\":\"…\"}}: {error}"))
        })?;
        body.seed
    };
    let name = match (query.seed, in_body) {
        (Some(query), Some(body)) if query != body => {
            return Err(Rejection::invalid(format!("seed: the query says {query:?}, the body {body:?}; give one")));
        }
        (query, body) => query.or(body),
    };
    let unknown =
        |name: &str| Rejection::invalid(format!("seed: expected one of {}, found {name:?}", Seed::VARIANTS.join(", ")));
    name.map(|name| Seed::from_str(&name).map_err(|_| unknown(&name))).transpose()
}
