//! The routes of a balance: change it, deposit, withdraw, read it, reset.

use std::str::FromStr;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use strum::VariantNames;

use super::answer::Rejection;
use super::body::{self, Amounts, BalanceBody};
use super::guard::SessionId;
use super::{App, Desk, answer, headers};
use crate::database::seed::Seed;
use crate::domain::BalanceChange;

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
pub async fn change(
    State(desk): State<Desk>,
    id: Extension<SessionId>,
    request: Request,
) -> Result<Response, Rejection> {
    let (Parts { headers, .. }, body) = request.into_parts();
    desk.change(*id, &headers, body, Amounts::Any, Some).await
}

/// `POST /deposit`: an amount from 1.
pub async fn deposit(
    State(desk): State<Desk>,
    id: Extension<SessionId>,
    request: Request,
) -> Result<Response, Rejection> {
    let (Parts { headers, .. }, body) = request.into_parts();
    desk.change(*id, &headers, body, Amounts::Positive, Some).await
}

/// `POST /withdraw`: an amount from 1.
pub async fn withdraw(
    State(desk): State<Desk>,
    id: Extension<SessionId>,
    request: Request,
) -> Result<Response, Rejection> {
    let (Parts { headers, .. }, body) = request.into_parts();
    desk.change(*id, &headers, body, Amounts::Positive, i64::checked_neg).await
}

/// `PATCH /ceiling/balance`: everything that HTTP costs and nothing else; the limit of what any approach can reach here.
pub async fn ceiling(State(app): State<Arc<App>>, request: Request) -> Result<Response, Rejection> {
    let (Parts { headers, .. }, body) = request.into_parts();
    body::balance(&headers, body, Amounts::Any, app.engine.limits()).await?;
    Ok(answer::json(StatusCode::OK, &Balance { balance: 10_000 }))
}

/// `GET /balance/{userId}`.
pub async fn read_by_path(
    State(desk): State<Desk>,
    id: Extension<SessionId>,
    headers: HeaderMap,
    Path(user): Path<String>,
) -> Result<Response, Rejection> {
    desk.read(*id, &headers, &user).await
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
    id: Extension<SessionId>,
    headers: HeaderMap,
    query: Result<Query<UserQuery>, QueryRejection>,
) -> Result<Response, Rejection> {
    match query {
        Ok(Query(UserQuery { user_id: Some(user) })) => desk.read(*id, &headers, &user).await,
        Ok(_) => Err(Rejection::invalid("userId: missing; as in /balance?userId=1 or /balance/1")),
        Err(error) => Err(Rejection::invalid(format!("query: {}", error.body_text()))),
    }
}

impl Desk {
    async fn change(
        &self,
        id: SessionId,
        headers: &HeaderMap,
        body: Body,
        amounts: Amounts,
        signed: impl FnOnce(i64) -> Option<i64>,
    ) -> Result<Response, Rejection> {
        let engine = &self.app.engine;
        let BalanceBody { user_id, amount } = body::balance(headers, body, amounts, engine.limits()).await?;
        let experiment = headers::experiment(headers, self.app.lab_headers)?;
        let if_version = headers::if_version(headers, self.approach)?;
        // A positive amount always has its negative; the bound of `amounts` keeps the exception out.
        let amount = signed(amount).ok_or_else(|| Rejection::invalid("amount: out of range"))?;
        let change = BalanceChange { user: user_id, amount, if_version };
        let outcome = engine.change_balance(id.0, self.approach, change, experiment).await;
        let body =
            |account: &crate::domain::Account| answer::json(StatusCode::OK, &Balance { balance: account.balance });
        Ok(answer::account(&outcome, body, Some(user_id)))
    }

    async fn read(&self, id: SessionId, headers: &HeaderMap, user: &str) -> Result<Response, Rejection> {
        let user_id = body::user_id(user)?;
        let experiment = headers::experiment(headers, self.app.lab_headers)?;
        let outcome = self.app.engine.read_balance(id.0, self.approach, user_id, experiment).await;
        let body = |account: &crate::domain::Account| {
            answer::json(StatusCode::OK, &UserBalance { user_id, balance: account.balance })
        };
        Ok(answer::account(&outcome, body, None))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetBody {
    seed: Option<String>,
}

/// `POST /reset`: no body, an empty one, `{"seed":"mixed"}` or `?seed=mixed` → `{"seed":"mixed"}`.
pub async fn reset(State(desk): State<Desk>, uri: Uri, headers: HeaderMap, body: Body) -> Result<Response, Rejection> {
    let app = &desk.app;
    let bytes = body::collect(body, app.engine.limits()).await?;
    let seed = chosen_seed(&uri, &headers, &bytes)?.unwrap_or(app.seed);
    Ok(match app.engine.reset(seed).await {
        Ok(()) => answer::json(StatusCode::OK, &ResetDone { seed: seed.into() }),
        Err(error) => answer::failure(&error),
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
        let body: ResetBody = serde_json::from_slice(body).map_err(|error| {
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
