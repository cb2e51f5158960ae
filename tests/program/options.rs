//! Options: each one is also an environment variable, and `.env.example` lists all of them with their defaults.

use std::collections::BTreeMap;

use concurrency_lab::cli;

use super::served::run_to_end;
use crate::common::{directory, program, repository};

/// Every variable of the command line, with its default if it has one.
fn variables() -> BTreeMap<String, Option<String>> {
    let mut variables = BTreeMap::new();
    for command in cli::command().get_subcommands() {
        for argument in command.get_arguments() {
            let Some(name) = argument.get_env() else { continue };
            let default = argument.get_default_values().first().map(|value| value.to_string_lossy().into_owned());
            variables.insert(name.to_string_lossy().into_owned(), default.filter(|default| default != "false"));
        }
    }
    variables
}

#[test]
fn every_option_is_an_environment_variable() {
    for command in cli::command().get_subcommands() {
        for argument in
            command.get_arguments().filter(|argument| argument.get_long().is_some() && !argument.is_hide_set())
        {
            // Trust in a file, and programs that need none, come from the command line only: a `.env` of others could set a variable.
            let only_there = ["help", "version", "trust_file", "app", "request", "prepare", "write"];
            if only_there.contains(&argument.get_id().as_str()) {
                continue;
            }
            assert!(argument.get_env().is_some(), "{} --{}", command.get_name(), argument.get_id());
        }
    }
}

#[test]
fn env_example_lists_every_variable_with_its_default() {
    let text = std::fs::read_to_string(repository().join(".env.example")).expect(".env.example");
    let mut listed = BTreeMap::new();
    for line in text.lines() {
        // A variable without a default is commented out, because otherwise it would be set to the empty text.
        let assignment = line.strip_prefix("# ").unwrap_or(line);
        if let Some((name, value)) = assignment.split_once('=')
            && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        {
            listed.insert(name.to_owned(), (value.to_owned(), line.starts_with('#')));
        }
    }
    let mut expected = variables();
    expected.insert("LAB_LOG".to_owned(), Some("warn".to_owned()));
    assert_eq!(listed.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, default) in expected {
        if let Some(default) = default {
            assert_eq!(listed[&name].0, default, "{name}");
        }
    }
}

#[test]
fn dot_env_is_read_and_the_environment_overrides_it() {
    let directory = directory();
    std::fs::write(directory.path().join(".env"), "LAB_REQUESTS=nonsense\n").expect("a .env");
    let run = |requests: Option<&str>| {
        let mut command = program();
        command.current_dir(directory.path()).args(["run", "--target=http://127.0.0.1:9"]);
        if let Some(requests) = requests {
            command.env("LAB_REQUESTS", requests);
        }
        run_to_end(command)
    };
    let (code, _, errors) = run(None);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("nonsense"), "{errors}");
    let (code, _, errors) = run(Some("10"));
    assert_eq!(code, Some(3), "the program uses the value from the environment, and then the target is down: {errors}");
    std::fs::write(directory.path().join(".env"), "not a variable\n").expect("a bad .env");
    let (code, _, errors) = run(Some("10"));
    assert_eq!(code, Some(2));
    assert!(errors.contains(".env"), "{errors}");
}

#[test]
fn a_folder_without_the_postgres_programs_gives_an_error_that_names_it() {
    let directory = directory();
    let mut command = program();
    command.args(["serve", "--listen=127.0.0.1:0", "--postgres-bin"]).arg(directory.path());
    command.arg("--data-dir").arg(directory.path().join("data"));
    let (code, _, errors) = run_to_end(command);
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.contains(directory.path().to_str().expect("a path")), "{errors}");
}

#[test]
fn an_invalid_database_url_exits_with_2_and_an_unreachable_one_with_3() {
    for (url, code, message) in [
        ("nonsense", 2, "DATABASE_URL"),
        ("postgres://user:secret@127.0.0.1:9/db", 3, "cannot connect to the database"),
    ] {
        let mut command = program();
        command.args(["serve", "--listen=127.0.0.1:0"]).env("DATABASE_URL", url);
        let (found, _, errors) = run_to_end(command);
        assert_eq!(found, Some(code), "{errors}");
        assert!(errors.contains(message) && !errors.contains("secret"), "{errors}");
    }
}
