//! What `explore` shows on a terminal, and what it prints where there is none.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::{Winsize, openpty};

use super::served::run_to_end;
use crate::common::{OwnDatabase, directory, program};

/// Which of the program's outputs the terminal is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    Report,
    Progress,
}

/// Runs explore on a terminal with this number of columns. Returns what appears there.
fn on_terminal(output: Output, columns: u16, environment: &[(&str, &str)], arguments: &[&str]) -> String {
    let size = Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let database = OwnDatabase::new();
    let pty = openpty(Some(&size), None).expect("a terminal");
    for side in [&pty.master, &pty.slave] {
        // A program that another test starts must not hold this terminal.
        fcntl(side, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("a flag");
    }
    let mut command = program();
    command.arg("explore").args(arguments).env("DATABASE_URL", &database.url).env("TERM", "xterm");
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied()).stdin(Stdio::null());
    match output {
        Output::Report => command.stdout(pty.slave).stderr(Stdio::null()),
        Output::Progress => command.stdout(Stdio::null()).stderr(pty.slave),
    };
    let mut child = command.spawn().expect("a process");
    // It holds the terminal, which is at its end when only the program had it and has ended.
    drop(command);
    let (read, chunks) = channel();
    let mut terminal = File::from(pty.master);
    // It ends with EIO when no program holds the other side.
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        loop {
            match terminal.read(&mut chunk) {
                Ok(length) if length > 0 && read.send(chunk[..length].to_vec()).is_ok() => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => break,
            }
        }
    });
    let ended = child.wait().expect("its end");
    let mut shown = Vec::new();
    // A program that was started between the two calls above may hold it for long.
    while let Ok(chunk) = chunks.recv_timeout(Duration::from_secs(1)) {
        shown.extend(chunk);
    }
    assert!(ended.success(), "{}", String::from_utf8_lossy(&shown));
    String::from_utf8_lossy(&shown).into_owned()
}

const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[31m";

#[test]
fn verdicts_have_colours_on_a_terminal_and_nowhere_else() {
    let arguments = ["last-money", "--approach", "naive,pessimistic"];
    let shown = on_terminal(Output::Report, 120, &[], &arguments);
    assert!(shown.contains(&format!("{GREEN}proved for 2 clients")), "{shown}");
    assert!(shown.contains(&format!("{RED}broken: lost-update")), "{shown}");
    let shown = on_terminal(Output::Report, 120, &[("NO_COLOR", "1")], &arguments);
    assert!(shown.contains("broken: lost-update") && !shown.contains('\u{1b}'), "{shown}");
    let database = OwnDatabase::new();
    let mut piped = program();
    piped.arg("explore").args(arguments).env("DATABASE_URL", &database.url).env("CLICOLOR_FORCE", "1");
    let (_, shown, _) = run_to_end(piped);
    assert!(shown.contains("broken: lost-update") && !shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn a_report_has_the_width_of_the_terminal() {
    // The rule below the heads of a timeline is as long as its longest line can be.
    let rule = |columns| {
        let shown = on_terminal(Output::Report, columns, &[], &["last-money", "--approach", "read-committed"]);
        let timeline = shown.split("schedule").last().expect("a timeline").to_owned();
        let rule = timeline.lines().find(|line| line.starts_with('─'));
        rule.unwrap_or_else(|| panic!("no rule in {shown}")).trim_end().chars().count()
    };
    let (narrow, wide) = (rule(80), rule(220));
    assert!(narrow <= 80, "{narrow}");
    assert!((121..=220).contains(&wide), "{wide}");
}

#[test]
fn a_terminal_shows_how_many_how_fast_and_how_much_is_left() {
    let shown = on_terminal(Output::Progress, 160, &[], &["last-money", "--approach", "read-committed"]);
    let line = shown.split('\r').find(|line| line.contains("/s, about ") && line.contains(" s left"));
    let line = line.unwrap_or_else(|| panic!("no rest in {shown:?}"));
    assert!(line.contains("last-money, read-committed: ") && line.contains(" of about "), "{line}");
}

#[test]
fn without_a_terminal_a_long_exploration_prints_a_line_now_and_then() {
    let folder = directory();
    let path = folder.path().join("slow.toml");
    // With a teardown the setup runs before each of the 20 interleavings, and takes most of the time.
    let file = r#"
        title = "slow"
        setup = "create table t (n int); select pg_sleep(0.7)"
        teardown = "select 1"
        [[session]]
        statements = ["begin", "select count(*) from t", "commit"]
        [[session]]
        statements = ["begin", "select max(n) from t", "commit"]
    "#;
    std::fs::write(&path, file).expect("a file");
    let database = OwnDatabase::new();
    let mut command = program();
    command.arg("explore").arg(&path).env("DATABASE_URL", &database.url);
    let (code, _, errors) = run_to_end(command);
    assert_eq!(code, Some(0), "{errors}");
    let lines: Vec<&str> = errors.lines().collect();
    let [rights, during, end] = lines[..] else { panic!("not three lines: {errors}") };
    assert!(rights.contains("run with the rights of"), "{rights}");
    assert!(
        during.starts_with("slow: 1") && during.contains(" of about ") && during.contains(" interleavings, 1"),
        "{during}"
    );
    assert!(during.contains(" s, 1/s, about ") && during.ends_with(" s left"), "{during}");
    assert!(end.starts_with("slow: proved, 20 interleavings in "), "{end}");
}
