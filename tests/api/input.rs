//! Every input gets an answer. Bad input gets an error that names what is wrong, and changes nothing.

use concurrency_lab::strategy::Approach;
use reqwest::Method;
use strum::IntoEnumIterator;

use crate::common::{Answer, Lab, Setup};

/// Body, status, part of the message.
const BAD_BODIES: &[(&str, u16, &str)] = &[
    ("", 400, "body: empty"),
    ("{\"userId\":1,", 400, "body: not valid JSON"),
    ("[]", 422, "body: expected a JSON object with the fields userId, amount"),
    (r#"{"amount":-2}"#, 422, "userId: missing"),
    (r#"{"userId":0,"amount":-2}"#, 422, "userId: expected a whole number from 1"),
    (r#"{"userId":"1","amount":-2}"#, 422, r#"found "1""#),
    (r#"{"userId":1}"#, 422, "amount: missing"),
    (r#"{"userId":1,"amount":"-2"}"#, 422, "amount: expected a whole number"),
    (r#"{"userId":1,"amount":-2.5}"#, 422, "found -2.5"),
    (r#"{"userId":1,"amount":9223372036854775808}"#, 422, "found 9223372036854775808"),
    (r#"{"userId":1,"amount":-2,"note":"x"}"#, 422, "note: unknown field; the allowed fields are userId, amount"),
    (r#"{"userId":1,"amount":-2,"amount":-3}"#, 422, "duplicate field"),
];

#[tokio::test]
async fn a_bad_body_is_refused_with_an_error_that_names_the_field_and_changes_nothing() {
    let lab = Lab::start().await;
    for approach in Approach::iter() {
        for (body, status, message) in BAD_BODIES {
            let answer = lab.patch(approach, body).await;
            assert_eq!(answer.status.as_u16(), *status, "{approach} {body}: {}", answer.body);
            let error = answer.json()["error"].as_str().expect("an error").to_owned();
            assert!(error.contains(message), "{approach} {body}: {error}");
            assert_eq!(answer.header("lab-attempts"), Some("0"), "no attempt was made");
        }
        for action in ["deposit", "withdraw"] {
            let answer = lab.post(&format!("/approach/{approach}/{action}"), r#"{"userId":1,"amount":0}"#).await;
            assert_eq!(answer.status, 422);
            assert!(answer.body.contains("amount: expected a whole number from 1"), "{}", answer.body);
        }
    }
    assert_eq!(lab.account(1).await.version, 1, "nothing was changed");
}

#[tokio::test]
async fn a_wrong_content_type_or_a_large_body_is_refused() {
    let lab = Lab::start().await;
    let change = |content_type: &'static str| {
        lab.request(Method::PATCH, "/balance").header("content-type", content_type).body(r#"{"userId":1,"amount":-2}"#)
    };
    for wrong in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
        let answer = Answer::of(change(wrong)).await;
        assert_eq!(answer.status, 415, "{wrong}");
        assert!(answer.body.contains("expected application/json") && answer.body.contains(wrong), "{}", answer.body);
    }
    let none = lab.request(Method::PATCH, "/balance").body(r#"{"userId":1,"amount":-2}"#);
    assert_eq!(Answer::of(none).await.status, 415);
    assert_eq!(lab.account(1).await.version, 1);
    assert_eq!(Answer::of(change("Application/JSON; charset=utf-8")).await.status, 200);

    let large = format!(r#"{{"userId":1,"amount":-2{}}}"#, " ".repeat(2 << 20));
    let answer = lab.post("/deposit", &large).await;
    assert_eq!(answer.status, 413);
    assert!(answer.body.contains("16384 bytes"), "{}", answer.body);
    assert_eq!(lab.post("/reset", &large).await.status, 413);
    assert_eq!(lab.account(1).await.version, 2);
}

#[tokio::test]
async fn a_bad_id_in_a_path_or_a_query_is_refused_with_an_error_that_names_it() {
    let lab = Lab::start().await;
    for path in
        ["/balance/0", "/balance/-1", "/balance/x", "/balance/1.5", "/balance/9223372036854775808", "/balance?userId=0"]
    {
        let answer = lab.get(path).await;
        assert_eq!(answer.status, 422, "{path}");
        assert!(answer.body.contains("userId: expected a whole number from 1"), "{path}: {}", answer.body);
    }
    for (path, message) in [("/balance", "userId: missing"), ("/balance?user=1", "unknown field `user`")] {
        let answer = lab.get(path).await;
        assert_eq!(answer.status, 422, "{path}");
        assert!(answer.body.contains(message), "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn an_unknown_approach_route_or_method_gets_an_error_that_names_the_known_ones() {
    let lab = Lab::start().await;
    for path in ["/approach/nonsense", "/approach/nonsense/balance/1", "/approach/Naive"] {
        let answer = lab.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        for approach in Approach::iter() {
            assert!(answer.body.contains(approach.name()), "{path}: {}", answer.body);
        }
    }
    let answer = lab.get("/approach/naive/nonsense").await;
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("/deposit"), "{}", answer.body);
    let answer = lab.get("/nonsense").await;
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("/nonsense is not a route"), "{}", answer.body);
    let answer = Answer::of(lab.request(Method::DELETE, "/balance")).await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("allow").map(|allow| allow.contains("PATCH")), Some(true));
    assert!(answer.body.contains("DELETE is not allowed on /balance"), "{}", answer.body);
    assert_eq!(lab.get("/approach/naive/reset").await.status, 405);
}

#[tokio::test]
async fn a_bad_reset_is_refused_and_keeps_the_data() {
    let lab = Lab::start().await;
    lab.patch(Approach::Naive, r#"{"userId":1,"amount":-2}"#).await.expect(200, r#"{"balance":9998}"#);
    for (path, body, status, message) in [
        (
            "/reset",
            r#"{"seed":"nonsense"}"#,
            422,
            "seed: expected one of withdrawal, mixed, transfer, booking, counter, bench, found \"nonsense\"",
        ),
        ("/reset?seed=nonsense", "", 422, "seed: expected one of"),
        ("/reset?speed=fast", "", 422, "unknown field `speed`"),
        ("/reset?seed=mixed", r#"{"seed":"bench"}"#, 422, "expected one seed"),
        ("/reset", r#"{"seed":1}"#, 422, "body: expected no body or"),
        ("/reset", r#"{"sead":"mixed"}"#, 422, "unknown field `sead`"),
        ("/reset", r#"["mixed"]"#, 422, "expected a JSON object"),
        ("/reset", "{", 400, "body: expected no body or"),
    ] {
        let answer = lab.post(path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {body}: {}", answer.body);
        assert!(answer.json()["error"].as_str().is_some_and(|error| error.contains(message)), "{}", answer.body);
    }
    let plain = lab.request(Method::POST, "/reset").header("content-type", "text/plain").body(r#"{"seed":"mixed"}"#);
    assert_eq!(Answer::of(plain).await.status, 415);
    assert_eq!(lab.account(1).await.balance, 9998);
}

#[tokio::test]
async fn a_change_from_another_origin_or_under_another_host_name_is_refused() {
    let lab = Lab::with(Setup { allowed_hosts: vec!["lab.example".to_owned()], ..Setup::default() }).await;
    let own = lab.address.to_string();
    let try_it = async |host: &str, origin: Option<&str>| {
        let mut request = lab.change(Approach::Naive, r#"{"userId":1,"amount":-2}"#).header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        Answer::of(request).await.status.as_u16()
    };
    assert_eq!(try_it("evil.example", None).await, 403);
    assert_eq!(try_it(&own, Some("http://evil.example")).await, 403);
    assert_eq!(try_it(&own, Some("null")).await, 403);
    assert_eq!(lab.account(1).await.version, 1, "nothing was changed");
    assert_eq!(try_it(&own, Some(&format!("http://{own}"))).await, 200);
    assert_eq!(try_it("lab.example", Some("http://lab.example")).await, 200);
    let reset = lab.request(Method::POST, "/reset").header("origin", "http://evil.example");
    assert_eq!(Answer::of(reset).await.status, 403);
    let read = lab.request(Method::GET, "/balance/1").header("origin", "http://evil.example");
    assert_eq!(Answer::of(read).await.status, 200, "a read from another origin: its page does not see the answer");
}
