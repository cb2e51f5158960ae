//! `POST /transfer`: money from one user to another, both balances or none.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::answer::Rejection;
use super::approach_routes::{ApproachRoutes, ParsedRequest};
use super::balances::UserBalance;
use super::body::{self, Field, NumberBody};
use super::{answer, headers};
use domain::{Transfer, Transferred};

/// The body of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferBody {
    /// The user who pays.
    pub from: i64,
    /// The user who is paid.
    pub to: i64,
    /// The amount.
    pub amount: i64,
}

impl TransferBody {
    /// The fields of the body.
    pub const FIELDS: [Field; 3] = [Field::from_1("from"), Field::from_1("to"), Field::from_1("amount")];
}

impl NumberBody for TransferBody {
    type Values = [i64; 3];

    fn values(&self) -> [i64; 3] {
        [self.from, self.to, self.amount]
    }
}

#[derive(Serialize)]
struct TransferBalances {
    from: UserBalance,
    to: UserBalance,
}

/// `POST /transfer`: `{"from":1,"to":2,"amount":7500}` → both new balances.
pub async fn transfer(State(routes): State<ApproachRoutes>, request: Request) -> Result<Response, Rejection> {
    let parsed = routes.read_transfer(request).await?;
    let Transfer { from: payer, to: payee, .. } = parsed.operation;
    let outcome = routes.execute(parsed).await;
    Ok(answer::outcome(&outcome, |Transferred { from, to }| {
        let body = TransferBalances {
            from: UserBalance { user_id: payer, balance: from.balance },
            to: UserBalance { user_id: payee, balance: to.balance },
        };
        let versions = format_args!("users/{payer}={}, users/{payee}={}", from.version, to.version);
        answer::with_versions(answer::json(StatusCode::OK, &body), versions)
    }))
}

impl ApproachRoutes {
    async fn read_transfer(&self, request: Request) -> Result<ParsedRequest<Transfer>, Rejection> {
        let (parts, body) = request.into_parts();
        let TransferBody { from, to, amount } =
            body::numbers(&parts.headers, body, &TransferBody::FIELDS, self.app.engine.limits()).await?;
        if from == to {
            return Err(Rejection::invalid(format!("to: expected a user other than from, found {to}")));
        }
        headers::no_version(&parts.headers)?;
        self.parsed(&parts, Transfer { from, to, amount })
    }
}
