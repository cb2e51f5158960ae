//! The pages that are left behind, opened in a real Chromium without a network.
//!
//! `scripts/setup.sh test` installs it; without it this test fails, and says so.

use std::path::Path;
use std::process::Command;

use super::runs::run;
use super::served::run_to_end;
use crate::common::directory;

/// Where Chromium or Chrome may be.
const BROWSERS: [&str; 4] =
    ["chromium", "chromium-browser", "google-chrome", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"];

/// Opens a page and returns its document, as the browser has it in the end, and its console.
fn open(page: &Path) -> (String, String) {
    let profile = directory();
    let there = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    let browser = BROWSERS.into_iter().find(there);
    let browser = browser.expect("Chromium or Chrome is not installed; scripts/setup.sh test installs it");
    let mut command = Command::new(browser);
    command.args(["--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"]);
    command.args(["--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--v=0"]);
    // Whatever it would like to look up: it is not there.
    command.arg("--host-resolver-rules=MAP * ~NOTFOUND");
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    if nix::unistd::Uid::effective().is_root() {
        command.arg("--no-sandbox");
    }
    command.arg("--dump-dom").arg(format!("file://{}", page.display()));
    let (code, document, said) = run_to_end(command);
    assert_eq!(code, Some(0), "{said}");
    let console = said.lines().filter(|line| line.contains("CONSOLE")).collect::<Vec<_>>().join("\n");
    (document, console)
}

#[test]
fn a_report_is_one_page_that_needs_no_network() {
    let directory = directory();
    let arguments = ["--approach=naive,pessimistic,group-commit", "--requests=600", "--think-time=1ms", "--repeat=2"];
    let run = run(directory.path(), &arguments);
    assert_eq!(run.code, Some(0), "{}{}", run.output, run.errors);
    let page = run.folder().join("report.html");
    let (document, console) = open(&page);
    assert_eq!(console, "", "nothing to complain about");
    for shown in ["naive", "BROKEN", "pessimistic", "correct", "<svg", "lost update"] {
        assert!(document.contains(shown), "{shown}: {document}");
    }
    // What it would fetch; links to follow are none of it.
    let elsewhere = document.replace("url(#", "");
    for fetched in [" src=", "<link", "@import", "url("] {
        assert!(!elsewhere.contains(fetched), "{fetched} in {document}");
    }
    assert!(document.contains("default-src 'none'"), "nor could it");

    // The test can fail: this page complains, and what it wants from elsewhere is refused.
    let bad = directory.path().join("bad.html");
    let text = std::fs::read_to_string(&page).expect("the page");
    std::fs::write(&bad, text.replace("</body>", "<img src=\"http://127.0.0.1:9/x.png\"></body>")).expect("a page");
    let (_, console) = open(&bad);
    assert!(console.contains("Content Security Policy"), "{console}");
}
