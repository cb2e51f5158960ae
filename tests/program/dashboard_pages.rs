//! The dashboard's pages of results, with a run folder that was made by the commands.

use std::path::Path;

use concurrency_lab::strategy::Approach;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use strum::IntoEnumIterator as _;

use super::runs::run;
use super::served::{Served, run_to_end};
use crate::common::{directory, program};

const PAGE_POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// A server with this run folder, and a client that follows no redirects.
fn serve(runs: &Path) -> (Served, Client) {
    let server = Served::on_shared(&["--runs", runs.to_str().expect("a path")]);
    let client = Client::builder().redirect(Policy::none()).build().expect("a client");
    (server, client)
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().expect("text"))
}

/// The tags that the content security policy forbids: inline styles, scripts and handlers.
fn forbidden_tags(page: &str) -> Vec<&str> {
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
fn inline_styles_scripts_and_handlers_are_recognised() {
    for bad in
        ["<p style=\"color: red\">", "<script>1</script>", "<style>", "<a onclick=\"x\">", "<script src=\"//x/y.js\">"]
    {
        assert_eq!(forbidden_tags(bad).len(), 1, "{bad}");
    }
    let good = "<script type=\"module\" src=\"/lab/assets/a.js\"></script><p class=\"on\"> style=1 onclick=2</p>";
    assert_eq!(forbidden_tags(good), Vec::<&str>::new());
}

/// Requests a page, and checks status, headers and that it is complete.
async fn page(server: &Served, client: &Client, path: &str, status: StatusCode) -> String {
    let answer = client.get(format!("{}{path}", server.url)).send().await.expect("an answer");
    assert_eq!(answer.status(), status, "{path}");
    assert_eq!(header(&answer, "content-security-policy"), PAGE_POLICY, "{path}");
    assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8", "{path}");
    assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{path}");
    let page = answer.text().await.expect("text");
    assert_eq!(forbidden_tags(&page), Vec::<&str>::new(), "{path}");
    assert!(page.ends_with("</html>") && page.contains("<h1>") && !page.contains("NaN"), "{path}: {page}");
    page
}

/// The names of the experiments in the folder, in the order in which they were made.
fn ids(runs: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(runs).expect("the runs");
    let name = |folder: std::io::Result<std::fs::DirEntry>| folder.expect("a folder").file_name().into_string();
    let mut ids: Vec<String> = folders.map(|folder| name(folder).expect("a name")).collect();
    ids.sort();
    ids
}

/// Fills the run folder by the commands: three runs and an exploration, beside a folder that is not the lab's. Returns the ids of the runs.
fn make_results(runs: &Path) -> [String; 3] {
    let arguments = ["--approach=naive,pessimistic", "--requests=150", "--think-time=1ms"];
    for _ in 0..2 {
        assert_eq!(run(runs, &arguments).code, Some(0));
    }
    assert_eq!(run(runs, &["counter", "--approach=pessimistic", "--requests=100"]).code, Some(0));
    let mut explore = program();
    explore.args(["explore", "last-money", "--approach=naive,pessimistic", "--format=json"]);
    let (code, report, errors) = run_to_end(explore);
    assert_eq!(code, Some(0), "{errors}");
    std::fs::create_dir(runs.join("9-explored")).expect("a folder");
    std::fs::write(runs.join("9-explored/explore.json"), report).expect("a file");
    std::fs::create_dir(runs.join("9-foreign")).expect("a folder");
    std::fs::write(runs.join("9-foreign/run.json"), "<b>not a run</b>").expect("a file");
    std::fs::write(runs.join("9-explored/secret.txt"), "not a result").expect("a file");
    let mut ids = ids(runs).into_iter();
    std::array::from_fn(|_| ids.next().expect("a run"))
}

#[tokio::test]
async fn results_are_shown_beside_the_claims() {
    let runs = directory();
    let [first, second, counter] = make_results(runs.path());
    let (server, client) = serve(runs.path());
    let ok = async |path: &str| page(&server, &client, path, StatusCode::OK).await;

    let overview = ok("/").await;
    for shown in [
        "claim: </span><strong>broken",
        "lost update when the steps run in the order ",
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

    let history = ok("/lab/runs").await;
    for id in [&first, &second, &counter, "9-explored"] {
        assert!(history.contains(&format!("href=\"/lab/runs/{id}\"")), "{id}: {history}");
        ok(&format!("/lab/runs/{id}")).await;
    }
    assert!(history.contains("9-foreign") && history.contains("run.json: not a run"), "{history}");
    let explored = ok("/lab/runs/9-explored").await;
    assert!(explored.contains("--replay") && explored.contains("play it"), "{explored}");
    let run = ok(&format!("/lab/runs/{first}")).await;
    assert!(run.contains("<svg") && run.contains("✗ BROKEN") && run.contains("lost update"), "{run}");

    let compared = ok(&compare(&first, &second)).await;
    assert!(compared.contains("not compared") && compared.contains("B divided by A"), "{compared}");
    let differ = ok(&compare(&first, &counter)).await;
    assert!(differ.contains("under different conditions") && differ.contains("<td>counter</td>"), "{differ}");
    approaches(&server, &client).await;
    refusals(&server, &client, &first).await;
    downloads(&server, &client, runs.path(), &first).await;
}

fn compare(one: &str, other: &str) -> String {
    format!("/lab/runs/compare?one={one}&other={other}")
}

/// Every approach has a page with its chapter, its curl commands and its form; an alias leads to it.
async fn approaches(server: &Served, client: &Client) {
    for approach in Approach::iter() {
        let chapter = page(server, client, &format!("/lab/approaches/{approach}"), StatusCode::OK).await;
        let curl = format!("curl -i -X POST '{}/approach/{approach}/", server.url);
        for shown in [&format!("<h2>{approach}: "), "<strong>Idea.</strong>", &*curl, "id=\"try-form\""] {
            assert!(chapter.contains(shown), "{approach}, {shown}: {chapter}");
        }
    }
    let answer = client.get(format!("{}/lab/approaches/robust", server.url)).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), header(&answer, "location")), (308, "/lab/approaches/pessimistic"));
}

/// Addresses without a page, and pairs that cannot be compared, are refused with the reason.
async fn refusals(server: &Served, client: &Client, run: &str) {
    for (path, status, message) in [
        (compare(run, run), 422, "are the same run"),
        (compare(run, "9-explored"), 422, "is an exploration"),
        (compare(run, "9-foreign"), 422, "not a run"),
        (compare(run, "..%2Fdata"), 404, "There is no run"),
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
        let page = page(server, client, &path, StatusCode::from_u16(status).expect("a status")).await;
        assert!(page.contains(message), "{path}, {message}: {page}");
    }
}

/// Every file is served unchanged, with the headers that tell a browser how to handle it.
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
async fn without_results_the_pages_say_what_to_do() {
    let runs = directory();
    let (server, client) = serve(&runs.path().join("never"));
    let overview = page(&server, &client, "/", StatusCode::OK).await;
    assert!(overview.contains("nothing-yet") && overview.contains("no evidence yet"), "{overview}");
    let history = page(&server, &client, "/lab/runs", StatusCode::OK).await;
    assert!(history.contains("No experiment has ended yet"), "{history}");
    let approach = page(&server, &client, "/lab/approaches/naive", StatusCode::OK).await;
    assert!(approach.contains("Not explored yet") && approach.contains("No run with this approach yet"), "{approach}");
}
