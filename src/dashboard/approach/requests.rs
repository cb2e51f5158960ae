//! One request to an approach: as curl, and to try from the page. The request is that of any client, to this server's own route.

use axum::http::{HeaderMap, header};
use maud::{Markup, html};

use crate::config::THINK_TIME_MAX;
use crate::database::seed::Seed;
use crate::http::body::{COUNTER_ID, EVENT_ID, USER_ID};
use crate::strategy::{Approach, Claim};
use domain::Workload;

/// A request that shows a workload.
struct SampleRequest {
    workload: Workload,
    /// A seed that has the rows of the example.
    seed: Seed,
    method: &'static str,
    /// Below the approach's own prefix; `{…}` is a field that stands in the path.
    path: &'static str,
    fields: &'static [SampleField],
}

/// A number of a request.
struct SampleField {
    /// In the body or the path.
    name: &'static str,
    /// What it is, and in which unit.
    label: &'static str,
    value: i64,
    min: Option<i64>,
}

const fn field(name: &'static str, label: &'static str, value: i64, min: Option<i64>) -> SampleField {
    SampleField { name, label, value, min }
}

const REQUESTS: [SampleRequest; 4] = [
    SampleRequest {
        workload: Workload::Balance,
        seed: Seed::Withdrawal,
        method: "PATCH",
        path: "/balance",
        fields: &[
            field(USER_ID.name, "User", 1, Some(USER_ID.min)),
            field("amount", "Amount (below 0: withdraw)", -2, None),
        ],
    },
    SampleRequest {
        workload: Workload::Transfer,
        seed: Seed::Transfer,
        method: "POST",
        path: "/transfer",
        fields: &[
            field("from", "From user", 1, Some(USER_ID.min)),
            field("to", "To user", 2, Some(USER_ID.min)),
            field("amount", "Amount", 1, Some(1)),
        ],
    },
    SampleRequest {
        workload: Workload::Booking,
        seed: Seed::Booking,
        method: "POST",
        path: "/bookings",
        fields: &[
            field(EVENT_ID.name, "Event", 1, Some(EVENT_ID.min)),
            field(USER_ID.name, "User", 1, Some(USER_ID.min)),
        ],
    },
    SampleRequest {
        workload: Workload::Counter,
        seed: Seed::Counter,
        method: "POST",
        path: "/counters/{counterId}/increment",
        fields: &[field(COUNTER_ID.name, "Counter", 1, Some(COUNTER_ID.min))],
    },
];

impl SampleRequest {
    /// The path and the body with the fields' own values.
    fn example(&self) -> (String, Option<String>) {
        let mut path = self.path.to_owned();
        let mut body = Vec::new();
        for field in self.fields {
            let place = format!("{{{}}}", field.name);
            if path.contains(&place) {
                path = path.replace(&place, &field.value.to_string());
            } else {
                body.push(format!("\"{}\":{}", field.name, field.value));
            }
        }
        (path, (!body.is_empty()).then(|| format!("{{{}}}", body.join(","))))
    }
}

/// The requests that an approach offers.
fn offered(approach: Approach) -> impl Iterator<Item = &'static SampleRequest> {
    let claims = approach.info().claims;
    REQUESTS.iter().filter(move |request| claims.of(request.workload) != Claim::Unsupported)
}

/// Where this page was asked for, if that can stand in a command line as it is.
#[must_use]
pub fn host(headers: &HeaderMap) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-.:[]".contains(letter);
    let given = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    given.filter(|host| !host.is_empty() && host.chars().all(plain)).unwrap_or("127.0.0.1:3000").to_owned()
}

/// The same request for a terminal.
pub fn curl(approach: Approach, host: &str) -> Markup {
    html! {
        section #curl {
            h2 { "The same with curl" }
            @for (index, request) in offered(approach).enumerate() {
                @let id = format!("curl-{}", request.workload);
                h3 { (request.workload) }
                div.copied {
                    pre #(id) tabindex="0" role="group" aria-label={ "curl, " (request.workload) } { code { (command(approach, request, host)) } }
                    button type="button" data-copy=(id) { "Copy" span.hidden { " command " (index + 1) } }
                }
            }
            p.said.soft #copied role="status" {}
        }
    }
}

fn command(approach: Approach, request: &SampleRequest, host: &str) -> String {
    let (path, body) = request.example();
    // A shell takes brackets of an IPv6 address for a pattern.
    let url = format!("'http://{host}/approach/{approach}{path}'");
    let body = body.map_or(String::new(), |body| format!(" \\\n  -H 'content-type: application/json' -d '{body}'"));
    format!("curl -i -X {} {url}{body}", request.method)
}

/// A form that sends one request, and where its answer is shown.
pub fn try_it(approach: Approach, lab_headers: bool) -> Markup {
    html! {
        section #try {
            h2 { "Try it" }
            p.soft {
                "Sends one real request to this server, which changes the data that it serves. "
                @if lab_headers { "With its statements and their times." }
            }
            @if !lab_headers {
                p.warning role="note" {
                    "This server honours no experiment headers (it is not bound to loopback, and was started without --lab-headers), so it \
                     will not tell its statements, and takes no think time."
                }
            }
            form.order #try-form data-approach=(approach) data-base={ "/approach/" (approach) } {
                label { "Workload" select name="workload" {
                    @for request in offered(approach) { option value=(request.workload) { (request.workload) } }
                } }
                @for (index, request) in offered(approach).enumerate() {
                    fieldset data-workload=(request.workload) data-method=(request.method) data-path=(request.path)
                            data-seed=(<&str>::from(request.seed)) hidden[index > 0] disabled[index > 0] {
                        legend.hidden { (request.workload) }
                        @for field in request.fields {
                            label { (field.label)
                                input type="number" name=(field.name) value=(field.value) min=[field.min] step="1" required;
                            }
                        }
                    }
                }
                label { "Think time (ms)"
                    input type="number" name="thinkTime" value="0" min="0" max=(THINK_TIME_MAX.as_millis()) step="1" disabled[!lab_headers];
                }
                button.main type="submit" { "Send" }
            }
            p.said #try-said role="status" { }
            div #try-result aria-live="polite" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_command_names_the_host_and_the_fields() {
        let commands: Vec<String> =
            offered(Approach::Naive).map(|request| command(Approach::Naive, request, "lab.test:3000")).collect();
        assert_eq!(
            commands[0],
            "curl -i -X PATCH 'http://lab.test:3000/approach/naive/balance' \\\n  -H 'content-type: application/json' -d \
             '{\"userId\":1,\"amount\":-2}'"
        );
        assert_eq!(commands[3], "curl -i -X POST 'http://lab.test:3000/approach/naive/counters/1/increment'");
    }

    #[test]
    fn only_what_an_approach_offers_can_be_tried() {
        let workloads = |approach| offered(approach).map(|request| request.workload).collect::<Vec<_>>();
        assert_eq!(workloads(Approach::UniqueConstraint), [Workload::Booking]);
        assert_eq!(workloads(Approach::CheckConstraint), [Workload::Balance, Workload::Transfer, Workload::Booking]);
        assert_eq!(workloads(Approach::Naive).len(), 4);
    }

    #[test]
    fn a_host_that_a_shell_would_read_is_not_repeated() {
        let table = [
            ("127.0.0.1:3103", "127.0.0.1:3103"),
            ("[::1]:80", "[::1]:80"),
            ("a'; rm -rf ~; '", "127.0.0.1:3000"),
            ("$(x)", "127.0.0.1:3000"),
            ("", "127.0.0.1:3000"),
        ];
        for (given, expected) in table {
            let headers = [(header::HOST, HeaderValue::from_static(given))].into_iter().collect();
            assert_eq!(host(&headers), expected, "{given}");
        }
        assert_eq!(host(&HeaderMap::new()), "127.0.0.1:3000");
    }
}
