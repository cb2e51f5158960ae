//! From the text of a file of commands to a [`CommandFile`].

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use super::command_file::{COMMANDS_MAX, CommandFile, CommandScript};
use super::environment::unknown_placeholder;
use crate::explore::file::ExploreFileError;
use crate::explore::file::expect_table::ExpectTable;
use crate::explore::file::fields::{actor, check_name, check_sql, expected};
use crate::explore::file::reading::{invariants, serial};
use crate::explore::file::script::Invariant;
use crate::report::input_file::toml_error;

/// What an invariant may use of a command.
pub const READ_OF_A_COMMAND: [&str; 2] = ["exit_code", "last_line"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandFileTable {
    title: String,
    #[serde(default)]
    story: String,
    #[serde(default)]
    app: AppTable,
    command: Vec<CommandTable>,
    invariant: Option<Value>,
    outcome: Option<String>,
    serial: Option<Value>,
    #[serde(default)]
    expect: Table,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AppTable {
    setup: Option<String>,
    prepare: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandTable {
    run: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

impl CommandFile {
    /// Whether a text is a file of commands, and not one of sessions. A text that is no TOML is neither.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.parse::<Table>().is_ok_and(|table| ["command", "app"].iter().any(|key| table.contains_key(*key)))
    }

    /// Parses the text of a file of commands. Its programs will run in the folder of the file.
    ///
    /// # Errors
    /// [`ExploreFileError`], which names what is wrong.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ExploreFileError> {
        let file = std::path::absolute(file).map_err(|error| ExploreFileError(error.to_string()))?;
        parse(text, file.parent().unwrap_or(Path::new("/"))).map_err(ExploreFileError)
    }
}

fn parse(text: &str, folder: &Path) -> Result<CommandFile, String> {
    let file: CommandFileTable = toml::from_str(text).map_err(|error| toml_error(text, &error))?;
    check_name("title", &file.title)?;
    if !(1..=COMMANDS_MAX).contains(&file.command.len()) {
        return Err(expected("command", &format!("1 to {COMMANDS_MAX} commands"), file.command.len()));
    }
    if let Some(setup) = &file.app.setup {
        check_sql("app.setup", setup)?;
    }
    if let Some(prepare) = &file.app.prepare {
        check_program("app.prepare", prepare)?;
    }
    if let Some(outcome) = &file.outcome {
        check_sql("outcome", outcome)?;
    }
    let commands =
        (0..).zip(file.command).map(|(index, command)| command.read(index)).collect::<Result<Vec<_>, _>>()?;
    let invariants = invariants(file.invariant)?;
    check_values(&invariants, commands.len())?;
    let serial = serial(file.serial.as_ref(), !invariants.is_empty())?;
    for field in ["waits", "never_waits"] {
        if file.expect.contains_key(field) {
            return Err(format!(
                "expect.{field}: expected no such field in a file of commands, because their statements have no names; remove it"
            ));
        }
    }
    let table = ExpectTable::of_levels(file.expect, &[None])?.remove(0);
    let expect = table.check(&[], &invariants, serial)?;
    let AppTable { setup, prepare } = file.app;
    let (title, story, outcome) = (file.title, file.story, file.outcome);
    let folder = folder.to_path_buf();
    Ok(CommandFile { title, story, setup, prepare, commands, invariants, outcome, serial, expect, folder })
}

impl CommandTable {
    fn read(self, index: usize) -> Result<CommandScript, String> {
        let actor = actor(index);
        check_program(&format!("command {actor}: run"), &self.run)?;
        for (name, value) in &self.env {
            let field = format!("command {actor}: env.{name}");
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(expected(&field, "a name without = in it", format_args!("{name:?}")));
            }
            if let Some((found, known)) = unknown_placeholder(value) {
                return Err(expected(&field, &format!("one of {known} in braces"), format_args!("{{{found}}}")));
            }
        }
        Ok(CommandScript { run: self.run, env: self.env })
    }
}

fn check_program(field: &str, program: &str) -> Result<(), String> {
    if program.trim().is_empty() || program.contains('\0') {
        return Err(expected(field, "a command line for a shell", format_args!("{program:?}")));
    }
    Ok(())
}

/// Checks that the values of invariants are those of commands, such as `{A.exit_code}`.
fn check_values(invariants: &[Invariant], commands: usize) -> Result<(), String> {
    let known = |placeholder: &str| {
        (0..commands)
            .any(|index| READ_OF_A_COMMAND.iter().any(|what| format!("{}.{what}", actor(index)) == placeholder))
    };
    for invariant in invariants {
        if let Some(unknown) = invariant.query.placeholders().find(|placeholder| !known(placeholder)) {
            let field = format!("invariant {:?}", invariant.name);
            let what = "a command and its exit_code or last_line, such as {A.exit_code}";
            return Err(expected(&field, what, format_args!("{{{unknown}}}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "title = \"two transfers\"\n[app]\nsetup = \"create table t (n int)\"\n\
                        [[command]]\nrun = \"psql -f a.sql\"\nenv = { URL = \"{database_url}\" }\n[[command]]\nrun = \"psql -f b.sql\"\n";

    fn refusal(text: &str) -> String {
        CommandFile::parse(text, Path::new("/tmp/file.toml")).expect_err("a refusal").to_string()
    }

    #[test]
    fn a_file_of_commands_is_read_with_its_programs_in_order() {
        let file = CommandFile::parse(FILE, Path::new("/tmp/file.toml")).expect("a file");
        assert!(CommandFile::is_one(FILE) && !CommandFile::is_one("[[session]]\nname = \"a\"\n"));
        assert_eq!(file.programs().collect::<Vec<_>>(), ["psql -f a.sql", "psql -f b.sql"]);
        assert_eq!(file.serial, crate::explore::file::script::SerialCheck::RowsAndAnswers);
    }

    #[test]
    fn a_mistake_is_refused_with_the_field_and_what_is_allowed() {
        let with = |from: &str, to: &str| refusal(&FILE.replacen(from, to, 1));
        let table = [
            (with("two transfers", ""), "title: expected 1 to 80 printable characters"),
            (with("psql -f a.sql", " "), "command A: run: expected a command line for a shell, found \" \""),
            (with("{database_url}", "{url}"), "command A: env.URL: expected one of database_url, host"),
            (with("create table t (n int)", ""), "app.setup: expected SQL"),
            (with("[app]", "[app]\nstart = \"node server.js\""), "unknown field `start`"),
            (refusal("title = \"none\"\ncommand = []\n"), "command: expected 1 to 4 commands, found 0"),
            (
                refusal(&format!("{FILE}[[invariant]]\nname = \"n\"\nquery = \"select {{C.exit_code}} = 0\"\n")),
                "invariant \"n\": expected a command and its exit_code or last_line, such as {A.exit_code}, found {C.exit_code}",
            ),
            (refusal(&format!("{FILE}[expect]\nwaits = [\"A: 1\"]\n")), "expect.waits: expected no such field"),
            (refusal(&format!("{FILE}[expect]\nanomaly = \"lost\"\n")), "expect.anomaly: expected one of"),
        ];
        for (found, expected) in table {
            assert!(found.contains(expected), "{found}\nexpected: {expected}");
        }
    }
}
