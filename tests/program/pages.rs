//! report.html, opened in a real Chromium without a network.
//!
//! `scripts/setup.sh test` installs Chromium; without it this test fails with that hint.

use std::path::Path;
use std::process::Command;

use super::runs::run;
use super::served::run_to_end;
use crate::common::directory;

/// The names of Chromium and Chrome.
const BROWSERS: [&str; 4] =
    ["chromium", "chromium-browser", "google-chrome", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"];

/// Opens a page, and returns its final document and the lines of its console.
fn open(page: &Path) -> (String, String) {
    let profile = directory();
    let there = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    let browser = BROWSERS.into_iter().find(there);
    let browser = browser.expect("Chromium or Chrome is not installed; scripts/setup.sh test installs it");
    let mut command = Command::new(browser);
    command.args(["--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"]);
    command.args(["--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--v=0"]);
    // No name can be resolved.
    command.arg("--host-resolver-rules=MAP * ~NOTFOUND");
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    if nix::unistd::Uid::effective().is_root() {
        command.arg("--no-sandbox");
    }
    command.arg("--dump-dom").arg(format!("file://{}", page.display()));
    let (code, document, log) = run_to_end(command);
    assert_eq!(code, Some(0), "{log}");
    let console = log.lines().filter(|line| line.contains("CONSOLE")).collect::<Vec<_>>().join("\n");
    (document, console)
}

#[test]
fn a_report_is_one_page_without_network_access() {
    let directory = directory();
    let arguments = ["--approach=naive,pessimistic,group-commit", "--requests=600", "--think-time=1ms", "--repeat=2"];
    let run = run(directory.path(), &arguments);
    assert_eq!(run.code, Some(0), "{}{}", run.output, run.errors);
    let page = run.folder().join("report.html");
    let (document, console) = open(&page);
    assert_eq!(console, "", "the browser logs no error");
    for shown in ["naive", "BROKEN", "pessimistic", "correct", "<svg", "lost update"] {
        assert!(document.contains(shown), "{shown}: {document}");
    }
    // Nothing that the browser would fetch; links are allowed.
    let elsewhere = document.replace("url(#", "");
    for fetched in [" src=", "<link", "@import", "url("] {
        assert!(!elsewhere.contains(fetched), "{fetched} in {document}");
    }
    assert!(document.contains("default-src 'none'"), "the policy forbids other sources");

    // The test can fail: with an image from another host, the browser logs an error.
    let bad = directory.path().join("bad.html");
    let text = std::fs::read_to_string(&page).expect("the page");
    std::fs::write(&bad, text.replace("</body>", "<img src=\"http://127.0.0.1:9/x.png\"></body>")).expect("a page");
    let (_, console) = open(&bad);
    assert!(console.contains("Content Security Policy"), "{console}");
}
