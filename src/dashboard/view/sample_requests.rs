//! One request to an approach: as a curl command, and as a form that sends it. It goes to the server's own route, as any client's request does.

use maud::{Markup, html};

use crate::config::THINK_TIME_MAX;
use crate::database::seed::Seed;
use crate::http::body::{COUNTER_ID, EVENT_ID, USER_ID};
use crate::strategy::{Approach, Claim};
use domain::Workload;

/// An example request of a workload.
struct SampleRequest {
    workload: Workload,
    /// A seed with the rows of the example.
    seed: Seed,
    method: &'static str,
    /// The path below the approach's prefix; `{…}` is a field.
    path: &'static str,
    fields: &'static [SampleField],
}

/// A number in a request.
struct SampleField {
    /// Its name in the body or the path.
    name: &'static str,
    /// Its label in the form.
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
            field("amount", "Amount (negative: withdraw)", -2, None),
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
    /// The path and the body with the example values.
    fn example(&self) -> (String, Option<String>) {
        let mut path = self.path.to_owned();
        let mut body = Vec::new();
        for field in self.fields {
            let placeholder = format!("{{{}}}", field.name);
            if path.contains(&placeholder) {
                path = path.replace(&placeholder, &field.value.to_string());
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

/// The requests as curl commands.
pub fn curl(approach: Approach, host: &str) -> Markup {
    html! {
        section #curl {
            h2 { "As curl commands" }
            @for request in offered(approach) {
                @let id = format!("curl-{}", request.workload);
                h3 { (request.workload) }
                div.copied {
                    pre #(id) tabindex="0" role="group" aria-label={ "curl, " (request.workload) } { code { (command(approach, request, host)) } }
                    button type="button" data-copy=(id) { "Copy" span.hidden { " the command for " (request.workload) } }
                }
            }
            p.message.soft #copied role="status" {}
        }
    }
}

fn command(approach: Approach, request: &SampleRequest, host: &str) -> String {
    let (path, body) = request.example();
    // Quoted: a shell takes the brackets of an IPv6 address for a pattern.
    let url = format!("'http://{host}/approach/{approach}{path}'");
    let body = body.map_or(String::new(), |body| format!(" \\\n  -H 'content-type: application/json' -d '{body}'"));
    format!("curl -i -X {} {url}{body}", request.method)
}

/// A form that sends one request, and the place for its answer.
pub fn try_it(approach: Approach, lab_headers: bool) -> Markup {
    html! {
        section #try {
            h2 { "Try it" }
            p.soft {
                "Sends one request to this server. It changes the served data."
                @if lab_headers { " The answer lists the SQL statements and their times." }
            }
            @if !lab_headers {
                p.warning role="note" {
                    "This server ignores experiment headers, so it returns no statements and accepts no think time: it is not bound to a loopback \
                     address and was started without --lab-headers."
                }
            }
            form.fields #try-form data-approach=(approach) data-base={ "/approach/" (approach) } {
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
                label { "Pause before each write (ms)"
                    input type="number" name="thinkTime" value="0" min="0" max=(THINK_TIME_MAX.as_millis()) step="1" disabled[!lab_headers];
                }
                button.main type="submit" { "Send" }
            }
            p.message #try-message role="status" { }
            div #try-result aria-live="polite" {}
        }
    }
}

#[cfg(test)]
mod tests {
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
    fn only_workloads_that_an_approach_offers_are_shown() {
        let workloads = |approach| offered(approach).map(|request| request.workload).collect::<Vec<_>>();
        assert_eq!(workloads(Approach::UniqueConstraint), [Workload::Booking]);
        assert_eq!(workloads(Approach::CheckConstraint), [Workload::Balance, Workload::Transfer, Workload::Booking]);
        assert_eq!(workloads(Approach::Naive).len(), 4);
    }
}
