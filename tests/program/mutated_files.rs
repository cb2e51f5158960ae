//! Mutants of every kind of file that the program reads. `MUTANTS=4000 cargo test --test all mutated_files` makes so many of each kind, and
//! `scripts/mutate_files.py` explains what must hold.

use std::process::Command;

use crate::common::{OwnDatabase, program, repository};

/// Mutants of each kind, unless `MUTANTS` says another number: some seconds.
const FEW: u32 = 25;

#[test]
fn no_mutant_of_a_file_panics_hangs_fills_the_memory_or_reaches_the_terminal() {
    let mutants = std::env::var("MUTANTS").map_or(FEW, |number| number.parse().expect("MUTANTS: a number"));
    let database = OwnDatabase::new();
    let mut script = Command::new("python3");
    script.arg(repository().join("scripts/mutate_files.py")).arg("--program").arg(program().get_program());
    script.arg(format!("--count={mutants}")).env("DATABASE_URL", &database.url).env("PYTHONDONTWRITEBYTECODE", "1");
    let ended = script.output().expect("python3");
    let (out, errors) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{out}{errors}");
    assert_eq!(out.matches(&format!(": {mutants} mutants")).count(), 6, "every kind of file: {out}");
}
