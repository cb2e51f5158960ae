//! Tells the program which commit it is built from, if that can be told: runs are compared across commits.

use std::process::Command;

fn main() {
    // Without a repository (a source archive, a container) the file is not there, and this is asked each time.
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/logs/HEAD");
    let git = |arguments: &[&str]| Command::new("git").args(arguments).output().ok();
    if let Some(output) = git(&["rev-parse", "--short=12", "HEAD"])
        && output.status.success()
    {
        println!("cargo::rustc-env=LAB_COMMIT={}", String::from_utf8_lossy(&output.stdout).trim());
    }
}
