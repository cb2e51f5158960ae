//! Whether the processes of an application do anything, as the operating system tells it.

use std::fs;

use nix::unistd::Pid;

/// Whether a thread of these process groups runs, is about to run, or waits for a disk. False if nothing is known, such as of a process that
/// belongs to somebody else.
#[must_use]
pub fn is_at_work(groups: &[Pid]) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    let is_process = |name: &str| name.bytes().all(|letter| letter.is_ascii_digit());
    let names =
        processes.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).filter(|name| is_process(name));
    names.into_iter().any(|process| {
        let of_groups = fs::read_to_string(format!("/proc/{process}/stat")).ok().and_then(|stat| group(&stat));
        of_groups.is_some_and(|group| groups.contains(&group)) && has_active_thread(&process)
    })
}

fn has_active_thread(process: &str) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return false };
    threads.filter_map(Result::ok).any(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat"));
        stat.is_ok_and(|stat| matches!(fields(&stat).next(), Some("R" | "D")))
    })
}

/// The fields of `/proc/PID/stat` from the third on: the state, the parent, the process group. The second, the name, is in parentheses and
/// may contain anything (proc(5)).
fn fields(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace()
}

fn group(stat: &str) -> Option<Pid> {
    Some(Pid::from_raw(fields(stat).nth(2)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_process_that_computes_is_at_work_and_one_that_sleeps_is_not() {
        for (script, expected) in [("while :; do :; done", true), ("sleep 60 & wait", false)] {
            let mut process = Command::new("sh")
                .args(["-c", script])
                .process_group(0)
                .stdout(Stdio::null())
                .spawn()
                .expect("a process");
            let group = Pid::from_raw(i32::try_from(process.id()).expect("a pid"));
            // At its start it is at work in any case.
            becomes(group, expected);
            nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).expect("its group");
            process.wait().expect("its end");
            becomes(group, false);
        }
    }

    #[track_caller]
    fn becomes(group: Pid, at_work: bool) {
        let begun = Instant::now();
        while is_at_work(&[group]) != at_work {
            assert!(begun.elapsed() < Duration::from_secs(10), "at work: {}", !at_work);
            std::thread::yield_now();
        }
    }
}
