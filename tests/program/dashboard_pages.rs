//! The dashboard's pages of what was found, over a run folder that real commands have made.

use std::path::Path;

use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};

use crate::common::{directory, program};
use crate::runs::run;
use crate::served::{Served, run_to_end};

const APPROACHES: [&str; 13] = [
    "naive",
    "read-committed",
    "atomic-returning",
    "check-constraint",
    "pessimistic",
    "optimistic-version",
    "advisory-lock",
    "repeatable-read",
    "serializable",
    "stored-function",
    "unique-constraint",
    "in-process-mutex",
    "group-commit",
];

const PAGE_POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// A server with this run folder, and a client that follows nothing.
fn serve(data_dir: &Path, runs: &Path) -> (Served, Client) {
    let server = Served::start(data_dir, &["--runs", runs.to_str().expect("a path")]);
    let client = Client::builder().redirect(Policy::none()).build().expect("a client");
    (server, client)
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().expect("text"))
}

/// What a browser under the policy of the pages would refuse: styles, scripts and handlers within the page.
fn refused_by_a_browser(page: &str) -> Vec<&str> {
    let tags = page.split('<').skip(1).map(|rest| rest.split('>').next().unwrap_or_default());
    let handler = |word: &str| word.starts_with("on") && word.contains('=') && !word.starts_with("one=");
    let inline = |tag: &&str| {
        tag.contains(" style=")
            || tag.starts_with("style")
            || tag.starts_with("script") && !tag.contains(" src=\"/lab/assets/")
            || tag.split(' ').skip(1).any(handler)
    };
    tags.filter(inline).collect()
}

#[test]
fn what_a_browser_would_refuse_is_noticed() {
    for bad in
        ["<p style=\"color: red\">", "<script>1</script>", "<style>", "<a onclick=\"x\">", "<script src=\"//x/y.js\">"]
    {
        assert_eq!(refused_by_a_browser(bad).len(), 1, "{bad}");
    }
    let good = "<script type=\"module\" src=\"/lab/assets/a.js\"></script><p class=\"on\"> style=1 onclick=2</p>";
    assert_eq!(refused_by_a_browser(good), Vec::<&str>::new());
}

/// Asks for a page and expects it whole.
async fn page(server: &Served, client: &Client, path: &str, status: StatusCode) -> String {
    let answer = client.get(format!("{}{path}", server.url)).send().await.expect("an answer");
    assert_eq!(answer.status(), status, "{path}");
    assert_eq!(header(&answer, "content-security-policy"), PAGE_POLICY, "{path}");
    assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8", "{path}");
    assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{path}");
    let page = answer.text().await.expect("text");
    assert_eq!(refused_by_a_browser(&page), Vec::<&str>::new(), "{path}");
    assert!(page.ends_with("</html>") && page.contains("<h1>") && !page.contains("NaN"), "{path}: {page}");
    page
}

/// The ids of what is in the folder, in the order in which it was made.
fn ids(runs: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(runs).expect("the runs");
    let name = |folder: std::io::Result<std::fs::DirEntry>| folder.expect("a folder").file_name().into_string();
    let mut ids: Vec<String> = folders.map(|folder| name(folder).expect("a name")).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn what_was_found_is_shown_beside_the_claims() {
    let (data, runs) = (directory(), directory());
    let arguments = ["--approach=naive,pessimistic", "--requests=150", "--think-time=1ms"];
    for _ in 0..2 {
        assert_eq!(run(runs.path(), &arguments).code, Some(0));
    }
    assert_eq!(run(runs.path(), &["counter", "--approach=pessimistic", "--requests=100"]).code, Some(0));
    let mut explore = program();
    explore.args(["explore", "last-money", "--approach=naive,pessimistic", "--format=json"]);
    let (code, report, errors) = run_to_end(explore);
    assert_eq!(code, Some(0), "{errors}");
    std::fs::create_dir(runs.path().join("9-explored")).expect("a folder");
    std::fs::write(runs.path().join("9-explored/explore.json"), report).expect("a file");
    std::fs::create_dir(runs.path().join("9-foreign")).expect("a folder");
    std::fs::write(runs.path().join("9-foreign/run.json"), "<b>not a run</b>").expect("a file");
    std::fs::write(runs.path().join("9-explored/secret.txt"), "nobody's business").expect("a file");
    let ids = ids(runs.path());
    let [first, second, counter] = [&ids[0], &ids[1], &ids[2]];
    let (server, client) = serve(data.path(), runs.path());
    let ok = async |path: &str| page(&server, &client, path, StatusCode::OK).await;

    let overview = ok("/").await;
    for shown in [
        "claim </span><strong>broken",
        "lost update, witness ",
        "/lab/player?approach=naive&amp;scenario=last-money&amp;clients=2&amp;servers=one&amp;schedule=",
        "broken in 2 runs",
        "proved: ",
        "held in 2 runs",
        "req/s",
        "a counter has no rule for a constraint to enforce",
    ] {
        assert!(overview.contains(shown), "{shown}: {overview}");
    }
    assert!(!overview.contains("nothing-yet") && !overview.contains("CLAIM FAILED"), "{overview}");

    for approach in APPROACHES {
        let chapter = ok(&format!("/lab/approaches/{approach}")).await;
        let curl = format!("curl -i -X POST &#39;{}/approach/{approach}/", server.url).replace("&#39;", "'");
        for shown in [&format!("<h2>{approach}: "), "<strong>Idea.</strong>", &*curl, "id=\"try-form\""] {
            assert!(chapter.contains(shown), "{approach}, {shown}: {chapter}");
        }
    }
    let answer = client.get(format!("{}/lab/approaches/robust", server.url)).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), header(&answer, "location")), (308, "/lab/approaches/pessimistic"));

    let history = ok("/lab/runs").await;
    for id in [first, second, counter, "9-explored"] {
        assert!(history.contains(&format!("href=\"/lab/runs/{id}\"")), "{id}: {history}");
        ok(&format!("/lab/runs/{id}")).await;
    }
    assert!(history.contains("9-foreign") && history.contains("run.json: not a run"), "{history}");
    let explored = ok("/lab/runs/9-explored").await;
    assert!(explored.contains("--replay") && explored.contains("play it"), "{explored}");
    let raced = ok(&format!("/lab/runs/{first}")).await;
    assert!(raced.contains("<svg") && raced.contains("✗ BROKEN") && raced.contains("lost update"), "{raced}");

    let compare = |one: &str, other: &str| format!("/lab/runs/compare?one={one}&other={other}");
    let compared = ok(&compare(first, second)).await;
    assert!(compared.contains("not compared") && compared.contains("B divided by A"), "{compared}");
    let differ = ok(&compare(first, counter)).await;
    assert!(differ.contains("under different conditions") && differ.contains("<td>counter</td>"), "{differ}");
    for (path, status, told) in [
        (compare(first, first), 422, "are the same run"),
        (compare(first, "9-explored"), 422, "is an exploration"),
        (compare(first, "9-foreign"), 422, "not a run"),
        (compare(first, "..%2Fdata"), 404, "There is no run"),
        ("/lab/runs/compare".to_owned(), 422, "one for A, one for B"),
        ("/lab/runs/compare?one=1&two=2".to_owned(), 422, "one=ID&amp;other=ID"),
        ("/lab/runs/9-foreign".to_owned(), 422, "not a run"),
        ("/lab/runs/none".to_owned(), 404, "There is no experiment"),
        ("/lab/runs/..%2F9-explored".to_owned(), 404, "There is no experiment"),
        ("/lab/approaches/nothing".to_owned(), 404, "There are naive, read-committed"),
        ("/lab/approaches/%3Cb%3E".to_owned(), 404, "&lt;b&gt;"),
        ("/lab/runs/9-explored/secret.txt".to_owned(), 404, "There is no file"),
        ("/lab/runs/9-explored/..%2F9-explored%2Fexplore.json".to_owned(), 404, "There is no file"),
        ("/lab/runs/9-explored/run.json".to_owned(), 404, "There is no run.json"),
        ("/lab/runs/..%2F9-explored/explore.json".to_owned(), 404, "There is no explore.json"),
    ] {
        let page = page(&server, &client, &path, StatusCode::from_u16(status).expect("a status")).await;
        assert!(page.contains(told), "{path}, {told}: {page}");
    }
    downloads(&server, &client, runs.path(), first).await;
}

/// Every file is what lies there, and says to a browser how to take it.
async fn downloads(server: &Served, client: &Client, runs: &Path, run: &str) {
    let report_policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox";
    let attachment = format!("attachment; filename=\"{run}-history.jsonl\"");
    for (id, name, content_type, policy, disposition) in [
        (run, "report.html", "text/html; charset=utf-8", report_policy, ""),
        (run, "run.json", "application/json", PAGE_POLICY, ""),
        (run, "responses.log", "text/plain; charset=utf-8", PAGE_POLICY, ""),
        (run, "history.jsonl", "text/plain; charset=utf-8", PAGE_POLICY, attachment.as_str()),
        ("9-explored", "explore.json", "application/json", PAGE_POLICY, ""),
    ] {
        let answer = client.get(format!("{}/lab/runs/{id}/{name}", server.url)).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{name}");
        assert_eq!(header(&answer, "content-type"), content_type, "{name}");
        assert_eq!(header(&answer, "content-security-policy"), policy, "{name}");
        assert_eq!(header(&answer, "content-disposition"), disposition, "{name}");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{name}");
        let there = std::fs::read(runs.join(id).join(name)).expect("the file");
        assert_eq!(header(&answer, "content-length"), there.len().to_string(), "{name}");
        assert!(answer.bytes().await.expect("its bytes") == there, "{name}");
    }
}

#[tokio::test]
async fn without_anything_found_the_pages_say_what_to_do() {
    let (data, runs) = (directory(), directory());
    let (server, client) = serve(data.path(), &runs.path().join("never"));
    let overview = page(&server, &client, "/", StatusCode::OK).await;
    assert!(overview.contains("nothing-yet") && overview.contains("nothing found yet"), "{overview}");
    let history = page(&server, &client, "/lab/runs", StatusCode::OK).await;
    assert!(history.contains("No experiment has ended yet"), "{history}");
    let approach = page(&server, &client, "/lab/approaches/naive", StatusCode::OK).await;
    assert!(approach.contains("Not explored yet") && approach.contains("No run with it yet"), "{approach}");
}
