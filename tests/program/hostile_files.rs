//! Files that others have written: the program neither obeys them nor waits for them for ever.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::{Uid, mkfifo};
use reqwest::Client;

use super::served::{Served, run_to_end};
use crate::common::{directory, program};

/// What a terminal may obey: it changes the title of the window, clears the screen (also with 8 bits), and rings.
const ESCAPES: &str = "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}2J";

fn assert_printable(text: &str) {
    let active: Vec<_> = text.chars().filter(|letter| letter.is_control() && !"\n\t".contains(*letter)).collect();
    assert!(active.is_empty(), "{active:?} in {text:?}");
}

fn pipe(path: &Path) {
    mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe");
}

/// Runs the program with these arguments. Its memory is limited, so that a file that is read whole fails.
fn limited(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -v 8000000; exec timeout 20 \"$0\" \"$@\""]).arg(program().get_program());
    limited.args(arguments);
    run_to_end(limited)
}

#[test]
fn files_without_an_end_are_refused() {
    let directory = directory();
    let link = |name: &str| {
        let path = directory.path().join(name);
        symlink("/dev/zero", &path).expect("a link");
        path.to_str().expect("text").to_owned()
    };
    let (toml, spec, json) = (link("a.toml"), link("a.spec"), link("run.json"));
    for (arguments, expected) in [
        (vec!["explore", &toml], "at most 1 MiB"),
        (vec!["explore", &spec], "at most 1 MiB"),
        (vec!["run", "--target=http://127.0.0.1:9", "--routes", &toml], "at most 1 MiB"),
        (vec!["compare", &json, &json], "at most 64 MiB"),
        (vec!["check", "/dev/zero"], "found a longer line"),
    ] {
        let (code, _, errors) = limited(&arguments);
        assert!(matches!(code, Some(2 | 3)) && errors.contains(expected), "{arguments:?}: {code:?} {errors}");
    }
}

#[test]
fn an_error_shows_the_beginning_of_a_line_and_no_escape() {
    let directory = directory();
    let path = directory.path().join("a.toml");
    let path = path.to_str().expect("text");
    for text in [
        format!("title = {}", "[".repeat(1_000_000)),
        format!("{} = 1", "k".repeat(1_000_000)),
        format!("title = \"{ESCAPES}\""),
        format!("# {ESCAPES}\n? {ESCAPES}"),
    ] {
        fs::write(path, &text).expect("a file");
        for arguments in [vec!["explore", path], vec!["run", "--target=http://127.0.0.1:9", "--routes", path]] {
            let (code, out, errors) = limited(&arguments);
            assert_eq!(code, Some(2), "{errors}");
            assert!(out.is_empty() && errors.len() < 5_000 && errors.contains("line"), "{} bytes", errors.len());
            assert_printable(&errors);
        }
    }
}

#[test]
fn names_and_findings_of_a_history_and_of_a_run_are_printable() {
    let directory = directory();
    let history = directory.path().join("history.jsonl");
    let title = serde_json::json!({
        "approach": ESCAPES, "claim": "safe", "scenario": ESCAPES, "round": 1, "servers": 1
    });
    let rows = serde_json::json!([{"row": "users/1", "value": 10, "version": 1}]);
    let lines = [
        serde_json::json!({"start": {"format": 1, "title": title, "rows": rows}}),
        serde_json::json!({"end": {"operations": 0, "rows": [{"row": "users/1", "value": 9, "version": 2}]}}),
    ];
    fs::write(&history, lines.map(|line| line.to_string()).join("\n") + "\n").expect("a history");
    let mut check = program();
    check.arg("check").arg(&history);
    let (code, out, errors) = run_to_end(check);
    assert!(matches!(code, Some(1 | 3)) && errors.contains("title"), "{code:?} {errors}");
    assert_printable(&out);
    assert_printable(&errors);
}

#[test]
fn a_refused_value_of_a_variable_is_printable() {
    for arguments in [vec!["run", "--target=http://127.0.0.1:9"], vec!["run", "--help"]] {
        let mut run = program();
        run.args(&arguments).env("LAB_REQUESTS", ESCAPES);
        let (_, out, errors) = run_to_end(run);
        // clap itself leaves out sequences of 7 bits.
        assert!(out.contains("\\u{9b}2J") || errors.contains("\\u{9b}2J"), "{out}{errors}");
        assert_printable(&out);
        assert_printable(&errors);
    }
}

#[test]
fn dot_env_runs_no_program() {
    let directory = directory();
    let (programs, marker) = (directory.path().join("bin"), directory.path().join("it-ran"));
    fs::create_dir(&programs).expect("a folder");
    for name in ["psql", "postgres", "initdb"] {
        let script = format!("#!/bin/sh\necho \"$LD_PRELOAD\" > {}\n", marker.display());
        fs::write(programs.join(name), script).expect("a program");
        fs::set_permissions(programs.join(name), PermissionsExt::from_mode(0o755)).expect("its mode");
    }
    let dot_env = directory.path().join(".env");
    let psql = |in_environment: bool| {
        let mut psql = program();
        psql.current_dir(directory.path()).args([
            "psql",
            "--database-url=postgres://127.0.0.1:9/x",
            "--",
            "-c",
            "select 1",
        ]);
        if in_environment {
            psql.env("LAB_POSTGRES_BIN", &programs);
        }
        run_to_end(psql)
    };
    fs::write(&dot_env, format!("LAB_POSTGRES_BIN={}\n", programs.display())).expect("a .env");
    let (code, _, errors) = psql(false);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains(".env") && errors.contains("LAB_POSTGRES_BIN is not taken from it"), "{errors}");
    assert!(!marker.exists(), "the program of the folder ran");
    fs::write(&dot_env, "LD_PRELOAD=/nonexistent.so\n").expect("a .env");
    let (code, _, errors) = psql(true);
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(fs::read_to_string(&marker).expect("what the program found"), "\n", "LD_PRELOAD is not taken from .env");
}

#[test]
fn a_dot_env_that_never_ends_or_never_begins_is_refused() {
    let directory = directory();
    let dot_env = directory.path().join(".env");
    let run = || {
        let mut run = Command::new("timeout");
        run.arg("20").arg(program().get_program()).arg("--version").current_dir(directory.path());
        run_to_end(run)
    };
    pipe(&dot_env);
    let (code, _, errors) = run();
    assert!(
        code == Some(2) && errors.contains("cannot read the file .env: is not a regular file"),
        "{code:?} {errors}"
    );
    fs::remove_file(&dot_env).expect("its end");
    fs::write(&dot_env, "LAB_SEED=booking\n".repeat(10_000)).expect("a .env");
    let (code, _, errors) = run();
    assert!(code == Some(2) && errors.contains("expected at most 65536 bytes, found more"), "{code:?} {errors}");
}

#[test]
fn a_user_without_a_home_is_asked_for_a_data_directory() {
    if !Uid::effective().is_root() {
        return;
    }
    // No account has this number.
    let mut serve = program();
    serve.args(["serve", "--listen=127.0.0.1:0"]).env_remove("HOME").env_remove("XDG_DATA_HOME").uid(7_654).gid(7_654);
    serve.current_dir("/");
    let (code, _, errors) = run_to_end(serve);
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.contains("the user 7654 has no home directory") && errors.contains("--data-dir"), "{errors}");
    assert!(!Path::new("/tmp/uid-7654").exists());
}

#[tokio::test]
async fn the_dashboard_neither_follows_links_nor_waits_for_pipes() {
    let runs = directory();
    let folder = runs.path().join("1-1");
    fs::create_dir(&folder).expect("a folder");
    for name in ["history.jsonl", "run.json"] {
        pipe(&folder.join(name));
    }
    symlink("/etc/passwd", folder.join("responses.log")).expect("a link");
    symlink("/dev/zero", folder.join("report.html")).expect("a link");
    fs::write(runs.path().join("secret"), "secret").expect("a file");
    symlink("/", runs.path().join("2-2")).expect("a link");
    let server = Served::on_shared(&["--runs", runs.path().to_str().expect("text")]);
    let client = Client::builder().timeout(Duration::from_secs(10)).build().expect("a client");
    for (path, status, shown) in [
        ("/", 200, "is not a regular file"),
        ("/lab/runs", 200, "is a link; links in this folder are not followed"),
        ("/lab/runs/1-1", 422, "run.json: is not a regular file"),
        ("/lab/runs/2-2", 422, "is a link"),
        ("/lab/runs/1-1/history.jsonl", 404, "is not a regular file"),
        ("/lab/runs/1-1/responses.log", 404, "is a link"),
        ("/lab/runs/1-1/report.html", 404, "is a link"),
    ] {
        let answer = client.get(format!("{}{path}", server.url)).send().await.expect(path);
        assert_eq!(answer.status(), status, "{path}");
        let page = answer.text().await.expect("a page");
        assert!(page.contains(shown), "{path}: {page}");
    }
}
