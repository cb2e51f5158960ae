//! The routes of a balance: change it, deposit, withdraw, read it.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::answer::Rejection;
use super::approach_routes::{ApproachRoutes, ParsedRequest};
use super::body::{self, AmountRule, BalanceBody};
use super::path_segment::PathSegment;
use super::{AppState, answer, headers};
use crate::engine::operation::BalanceRead;
use domain::{Account, BalanceChange};

#[derive(Serialize)]
struct NewBalance {
    balance: i64,
}

/// A user's balance.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserBalance {
    /// The user.
    pub user_id: i64,
    /// The balance.
    pub balance: i64,
}

/// `PATCH /balance`: `{"userId":1,"amount":-2}` → `{"balance":9998}`.
pub async fn change(State(routes): State<ApproachRoutes>, request: Request) -> Result<Response, Rejection> {
    routes.change(request, AmountRule::Any).await
}

/// `POST /deposit`: an amount from 1.
pub async fn deposit(State(routes): State<ApproachRoutes>, request: Request) -> Result<Response, Rejection> {
    routes.change(request, AmountRule::Deposit).await
}

/// `POST /withdraw`: an amount from 1.
pub async fn withdraw(State(routes): State<ApproachRoutes>, request: Request) -> Result<Response, Rejection> {
    routes.change(request, AmountRule::Withdrawal).await
}

/// `PATCH /ceiling/balance`: the cost of HTTP and nothing else. No approach can be faster than this route.
pub async fn ceiling(State(app): State<Arc<AppState>>, request: Request) -> Result<Response, Rejection> {
    let (parts, body) = request.into_parts();
    let fields = BalanceBody::fields(AmountRule::Any);
    body::numbers::<BalanceBody>(&parts.headers, body, &fields, app.engine.limits()).await?;
    Ok(answer::json(StatusCode::OK, &NewBalance { balance: 10_000 }))
}

/// `GET /balance/{userId}`.
pub async fn read_by_path(
    State(routes): State<ApproachRoutes>,
    PathSegment(user): PathSegment,
    request: Request,
) -> Result<Response, Rejection> {
    routes.read(request, &user).await
}

/// The query of `GET /balance`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserQuery {
    user_id: Option<String>,
}

/// `GET /balance?userId=1`.
pub async fn read_by_query(
    State(routes): State<ApproachRoutes>,
    query: Result<Query<UserQuery>, QueryRejection>,
    request: Request,
) -> Result<Response, Rejection> {
    match query {
        Ok(Query(UserQuery { user_id: Some(user) })) => routes.read(request, &user).await,
        Ok(_) => Err(Rejection::invalid(
            "userId: missing; expected a query such as /balance?userId=1, or a path such as /balance/1",
        )),
        Err(error) => Err(Rejection::invalid(format!("query: {}", error.body_text()))),
    }
}

impl ApproachRoutes {
    async fn change(&self, request: Request, amounts: AmountRule) -> Result<Response, Rejection> {
        let parsed = self.read_change(request, amounts).await?;
        let user = parsed.operation.user;
        let outcome = self.execute(parsed).await;
        Ok(answer::outcome(&outcome, |&Account { balance, version }| {
            let response = answer::with_etag(answer::json(StatusCode::OK, &NewBalance { balance }), version);
            answer::with_versions(response, format_args!("users/{user}={version}"))
        }))
    }

    async fn read_change(
        &self,
        request: Request,
        amounts: AmountRule,
    ) -> Result<ParsedRequest<BalanceChange>, Rejection> {
        let (parts, body) = request.into_parts();
        let fields = BalanceBody::fields(amounts);
        let BalanceBody { user_id, amount } =
            body::numbers(&parts.headers, body, &fields, self.app.engine.limits()).await?;
        let if_version = headers::if_version(&parts.headers, self.approach)?;
        self.parsed(&parts, BalanceChange { user: user_id, amount: amounts.signed(amount), if_version })
    }

    async fn read(&self, request: Request, user: &str) -> Result<Response, Rejection> {
        let user_id = body::id(body::USER_ID, user)?;
        let parsed = self.parsed(&request.into_parts().0, BalanceRead { user: user_id })?;
        let outcome = self.execute(parsed).await;
        Ok(answer::outcome(&outcome, |&Account { balance, version }| {
            answer::with_etag(answer::json(StatusCode::OK, &UserBalance { user_id, balance }), version)
        }))
    }
}
