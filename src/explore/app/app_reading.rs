//! From the text of a file of an application to an [`AppFile`].

use std::collections::BTreeMap;
use std::path::Path;

use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use toml::{Table, Value};
use url::form_urlencoded::Serializer;

use super::app_file::{
    ACTORS_MAX, ActorScript, AppFile, CommandScript, INSTANCES_MAX, REQUESTS_MAX, ServiceReset, ServiceScript,
    StatementTags,
};
use super::environment::unknown_placeholder;
use super::request_script::{RequestBody, RequestScript};
use crate::explore::file::ExploreFileError;
use crate::explore::file::expect_table::ExpectTable;
use crate::explore::file::fields::{actor, check_name, check_sql, expected, kind};
use crate::explore::file::reading::{invariants, serial};
use crate::explore::file::script::Invariant;
use crate::report::input_file::toml_error;

/// What an invariant may use of a command.
pub const READ_OF_A_COMMAND: [&str; 2] = ["exit_code", "last_line"];

/// What an invariant may use of a request, beside the values of its answer's body.
pub const READ_OF_A_REQUEST: [&str; 2] = ["status", "ok"];

/// The placeholder of the application's port.
const PORT: &str = "port";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppFileTable {
    title: Option<String>,
    #[serde(default)]
    story: String,
    #[serde(default)]
    app: AppTable,
    #[serde(default)]
    request: Vec<RequestTable>,
    #[serde(default)]
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
    seed: Option<String>,
    start: Option<String>,
    cwd: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    ready: Option<String>,
    port: Option<u16>,
    instances: Option<u8>,
    #[serde(default)]
    ignore: Vec<String>,
    tags: Option<Value>,
    reset: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestTable {
    send: String,
    json: Option<Value>,
    form: Option<Table>,
    text: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    before: Vec<RequestTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandTable {
    run: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

impl AppFile {
    /// Whether a text is a file of an application, and not one of sessions. A text that is no TOML is neither.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.parse::<Table>()
            .is_ok_and(|table| ["request", "command", "app"].iter().any(|key| table.contains_key(*key)))
    }

    /// Parses the text of a file of an application. Its programs will run in the folder of the file.
    ///
    /// # Errors
    /// [`ExploreFileError`], which names what is wrong.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ExploreFileError> {
        let file = std::path::absolute(file).map_err(|error| ExploreFileError(error.to_string()))?;
        let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        parse(text, file.parent().unwrap_or(Path::new("/")), name).map_err(ExploreFileError)
    }
}

fn parse(text: &str, folder: &Path, name: String) -> Result<AppFile, String> {
    let file: AppFileTable = toml::from_str(text).map_err(|error| toml_error(text, &error))?;
    if let Some(title) = &file.title {
        check_name("title", title)?;
    }
    check_numbers(file.request.len(), file.command.len())?;
    if let Some(setup) = &file.app.setup {
        check_sql("app.setup", setup)?;
    }
    if let Some(prepare) = &file.app.prepare {
        check_program("app.prepare", prepare)?;
    }
    if let Some(outcome) = &file.outcome {
        check_sql("outcome", outcome)?;
    }
    if let Some(seed) = &file.app.seed {
        check_sql("app.seed", seed)?;
    }
    let (setup, prepare, seed) = (file.app.setup.clone(), file.app.prepare.clone(), file.app.seed.clone());
    let service = file.app.service(folder, !file.request.is_empty())?;
    let mut actors = Vec::new();
    for request in file.request {
        let request = request.read(&format!("request {}", actor(actors.len())))?;
        actors.push(ActorScript::Request(request));
    }
    for command in file.command {
        let command = command.read(actors.len())?;
        actors.push(ActorScript::Command(command));
    }
    let invariants = invariants(file.invariant)?;
    check_values(&invariants, &actors)?;
    let serial = serial(file.serial.as_ref(), !invariants.is_empty())?;
    for field in ["waits", "never_waits"] {
        if file.expect.contains_key(field) {
            return Err(format!(
                "expect.{field}: expected no such field in a file of an application, because its statements have no names; remove it"
            ));
        }
    }
    let table = ExpectTable::of_levels(file.expect, &[None])?.remove(0);
    let expect = table.check(&[], &invariants, serial)?;
    let (title, story, outcome) = (file.title.unwrap_or(name), file.story, file.outcome);
    let folder = folder.to_path_buf();
    Ok(AppFile { title, story, setup, prepare, seed, service, actors, invariants, outcome, serial, expect, folder })
}

fn check_numbers(requests: usize, commands: usize) -> Result<(), String> {
    if requests > REQUESTS_MAX {
        return Err(expected("request", &format!("up to {REQUESTS_MAX} requests"), requests));
    }
    if !(1..=ACTORS_MAX).contains(&(requests + commands)) {
        let what = format!("1 to {ACTORS_MAX} [[request]] and [[command]] together");
        return Err(expected("request, command", &what, requests + commands));
    }
    Ok(())
}

impl AppTable {
    fn service(self, folder: &Path, has_requests: bool) -> Result<Option<ServiceScript>, String> {
        let given = [
            ("seed", self.seed.is_some()),
            ("cwd", self.cwd.is_some()),
            ("env", !self.env.is_empty()),
            ("ready", self.ready.is_some()),
            ("port", self.port.is_some()),
            ("instances", self.instances.is_some()),
            ("ignore", !self.ignore.is_empty()),
            ("tags", self.tags.is_some()),
            ("reset", self.reset.is_some()),
        ];
        let Some(start) = self.start else {
            let given = given.iter().find(|(_, given)| *given).map(|(name, _)| *name);
            return match given {
                Some(name) => {
                    Err(format!("app.{name}: expected app.start as well, the command that starts the application"))
                }
                None if has_requests => {
                    Err("app.start: expected the command that starts the application, found none".to_owned())
                }
                None => Ok(None),
            };
        };
        check_program("app.start", &start)?;
        if !has_requests {
            return Err("app.start: expected a [[request]] to the application as well, found none".to_owned());
        }
        check_env("app.env", &self.env, &[PORT])?;
        let instances = self.instances.unwrap_or(1);
        if !(1..=INSTANCES_MAX).contains(&instances) {
            return Err(expected("app.instances", &format!("1 to {INSTANCES_MAX}"), instances));
        }
        if instances > 1 && self.port.is_some() {
            return Err(
                "app.port: expected none with several instances, because each needs its own; pass {port} to the \
                        application"
                    .to_owned(),
            );
        }
        if let Some(text) = self.ignore.iter().find(|text| text.trim().is_empty()) {
            return Err(expected("app.ignore", "texts of statements", format_args!("{text:?}")));
        }
        let tags = match self.tags {
            None | Some(Value::Boolean(false)) => StatementTags::Unread,
            Some(Value::Boolean(true)) => StatementTags::Used,
            Some(Value::String(text)) if text == "check" => StatementTags::Compared,
            Some(other) => return Err(expected("app.tags", "true, false or \"check\"", kind(&other))),
        };
        let reset = match self.reset.as_deref() {
            None | Some("snapshot") => ServiceReset::Rows,
            Some("restart") => ServiceReset::Restart,
            Some(other) => return Err(expected("app.reset", "\"snapshot\" or \"restart\"", format_args!("{other:?}"))),
        };
        let ready = self.ready.map(|ready| RequestScript::parse("app.ready", &ready)).transpose()?;
        let folder = self.cwd.map_or_else(|| folder.to_path_buf(), |cwd| folder.join(cwd));
        let (env, port, ignore) = (self.env, self.port, self.ignore);
        Ok(Some(ServiceScript { start, env, folder, ready, port, instances, ignore, tags, reset }))
    }
}

impl RequestTable {
    fn read(self, of: &str) -> Result<RequestScript, String> {
        let mut request = RequestScript::parse(&format!("{of}: send"), &self.send)?;
        let bodies = [self.json.is_some(), self.form.is_some(), self.text.is_some()];
        if bodies.iter().filter(|given| **given).count() > 1 {
            return Err(format!("{of}: expected one of json, form and text, found several"));
        }
        let body = |content_type: &'static str, text: String| {
            Some(RequestBody { content_type: HeaderValue::from_static(content_type), text })
        };
        if let Some(json) = self.json {
            let text = serde_json::to_string(&json).map_err(|error| format!("{of}: json: {error}"))?;
            request.body = body("application/json", text);
        }
        if let Some(form) = self.form {
            let mut text = Serializer::new(String::new());
            for (name, value) in &form {
                let plain = match value {
                    Value::String(text) => text.clone(),
                    Value::Integer(number) => number.to_string(),
                    Value::Float(number) => number.to_string(),
                    Value::Boolean(yes) => yes.to_string(),
                    other => return Err(expected(&format!("{of}: form.{name}"), "text or a number", kind(other))),
                };
                text.append_pair(name, &plain);
            }
            request.body = body("application/x-www-form-urlencoded", text.finish());
        }
        if let Some(text) = self.text {
            request.body = body("text/plain; charset=utf-8", text);
        }
        for (name, value) in &self.headers {
            let field = format!("{of}: headers.{name}");
            let header = HeaderName::try_from(name.as_str())
                .map_err(|_| expected(&field, "the name of a header", format_args!("{name:?}")))?;
            let value = HeaderValue::from_str(value)
                .map_err(|_| expected(&field, "visible characters", format_args!("{value:?}")))?;
            request.headers.push((header, value));
        }
        for before in self.before {
            let before = before.read(&format!("{of}: before"))?;
            if !before.before.is_empty() {
                return Err(format!("{of}: before: expected no before of its own; list all requests in order"));
            }
            request.before.push(before);
        }
        Ok(request)
    }
}

impl CommandTable {
    fn read(self, index: usize) -> Result<CommandScript, String> {
        let of = format!("command {}", actor(index));
        check_program(&format!("{of}: run"), &self.run)?;
        check_env(&format!("{of}: env"), &self.env, &[])?;
        Ok(CommandScript { run: self.run, env: self.env })
    }
}

fn check_program(field: &str, program: &str) -> Result<(), String> {
    if program.trim().is_empty() || program.contains('\0') {
        return Err(expected(field, "a command line for a shell", format_args!("{program:?}")));
    }
    Ok(())
}

fn check_env(field: &str, env: &BTreeMap<String, String>, more: &[&str]) -> Result<(), String> {
    for (name, value) in env {
        let field = format!("{field}.{name}");
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(expected(&field, "a name without = in it", format_args!("{name:?}")));
        }
        if let Some((found, known)) = unknown_placeholder(value, more) {
            return Err(expected(&field, &format!("one of {known} in braces"), format_args!("{{{found}}}")));
        }
    }
    Ok(())
}

/// Checks that the values of invariants are those of an actor, such as `{A.exit_code}` or `{A.status}`.
fn check_values(invariants: &[Invariant], actors: &[ActorScript]) -> Result<(), String> {
    let known = |placeholder: &str| {
        actors.iter().enumerate().any(|(index, script)| {
            let Some(what) = placeholder.strip_prefix(&format!("{}.", actor(index))) else { return false };
            match script {
                ActorScript::Request(_) => READ_OF_A_REQUEST.contains(&what) || what.starts_with("body./"),
                ActorScript::Command(_) => READ_OF_A_COMMAND.contains(&what),
            }
        })
    };
    for invariant in invariants {
        if let Some(unknown) = invariant.query.placeholders().find(|placeholder| !known(placeholder)) {
            let field = format!("invariant {:?}", invariant.name);
            let what = "a request and its status, ok or body./pointer, such as {A.status}, or a command and its exit_code or last_line";
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
        AppFile::parse(text, Path::new("/tmp/file.toml")).expect_err("a refusal").to_string()
    }

    #[test]
    fn a_file_of_commands_is_read_with_its_programs_in_order() {
        let file = AppFile::parse(FILE, Path::new("/tmp/file.toml")).expect("a file");
        assert!(AppFile::is_one(FILE) && !AppFile::is_one("[[session]]\nname = \"a\"\n"));
        assert_eq!(file.programs().collect::<Vec<_>>(), ["psql -f a.sql", "psql -f b.sql"]);
        assert_eq!(file.actors_in_words(), "commands");
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
            (
                with("[app]", "[app]\nstart = \"node server.js\""),
                "app.start: expected a [[request]] to the application",
            ),
            (with("[app]", "[app]\nport = 80"), "app.port: expected app.start as well"),
            (
                refusal("title = \"none\"\ncommand = []\n"),
                "request, command: expected 1 to 4 [[request]] and [[command]] together, found 0",
            ),
            (
                refusal(&format!("{FILE}[[invariant]]\nname = \"n\"\nquery = \"select {{C.exit_code}} = 0\"\n")),
                "such as {A.status}, or a command and its exit_code or last_line, found {C.exit_code}",
            ),
            (refusal(&format!("{FILE}[expect]\nwaits = [\"A: 1\"]\n")), "expect.waits: expected no such field"),
            (refusal(&format!("{FILE}[expect]\nanomaly = \"lost\"\n")), "expect.anomaly: expected one of"),
        ];
        for (found, expected) in table {
            assert!(found.contains(expected), "{found}\nexpected: {expected}");
        }
    }

    const REQUESTS: &str = "[app]\nstart = \"node server.js\"\nenv = { LISTEN = \"{port}\" }\nready = \"GET /ready\"\n\
                            [[request]]\nsend = \"POST /withdraw\"\njson = { user = 1, amount = 30 }\nheaders = { x-req = \"A\" }\n\
                            [[request]]\nsend = \"POST /form\"\nform = { user = 1, note = \"a b&c\" }\n[[command]]\nrun = \"psql\"\n";

    #[test]
    fn a_file_of_requests_has_a_server_and_needs_no_title() {
        let file = AppFile::parse(REQUESTS, Path::new("/tmp/withdraw.toml")).expect("a file");
        assert!(AppFile::is_one(REQUESTS));
        assert_eq!((file.title.as_str(), file.actors_in_words()), ("withdraw", "requests and commands"));
        let titles: Vec<String> = file.actors.iter().map(ActorScript::title).collect();
        assert_eq!(titles, ["POST /withdraw {\"amount\":30,\"user\":1}", "POST /form note=a+b%26c&user=1", "psql"]);
        assert_eq!(file.programs().collect::<Vec<_>>(), ["node server.js", "psql"]);
        let service = file.service.expect("a service");
        assert_eq!((service.instances, service.reset, service.tags), (1, ServiceReset::Rows, StatementTags::Unread));
    }

    #[test]
    fn a_mistake_in_a_request_is_refused_with_the_field() {
        let with = |from: &str, to: &str| refusal(&REQUESTS.replacen(from, to, 1));
        let table = [
            (with("start = \"node server.js\"\n", ""), "app.env: expected app.start as well"),
            (with("{port}", "{prot}"), "app.env.LISTEN: expected one of port, database_url"),
            (with("GET /ready", "/ready"), "app.ready: expected a method and a path"),
            (
                with("json = {", "text = \"x\"\njson = {"),
                "request A: expected one of json, form and text, found several",
            ),
            (with("note = \"a b&c\"", "note = [1]"), "request B: form.note: expected text or a number, found array"),
            (with("x-req", "\"x req\""), "request A: headers.x req: expected the name of a header"),
            (with("[[request]]", "tags = 1\n[[request]]"), "app.tags: expected true, false or \"check\", found 1"),
            (with("[[request]]", "reset = \"rows\"\n[[request]]"), "app.reset: expected \"snapshot\" or \"restart\""),
            (with("[[request]]", "instances = 9\n[[request]]"), "app.instances: expected 1 to 4, found 9"),
            (
                refusal("[[request]]\nsend = \"GET /\"\n"),
                "app.start: expected the command that starts the application, found none",
            ),
            (
                refusal(&format!("{REQUESTS}[[invariant]]\nname = \"n\"\nquery = \"select {{C.status}} = 200\"\n")),
                "invariant \"n\": expected a request and its status, ok or body./pointer",
            ),
        ];
        for (found, expected) in table {
            assert!(found.contains(expected), "{found}\nexpected: {expected}");
        }
        let pointer = format!("{REQUESTS}[[invariant]]\nname = \"n\"\nquery = \"select {{A.body./balance}} = 70\"\n");
        assert!(AppFile::parse(&pointer, Path::new("/tmp/file.toml")).is_ok());
    }
}
