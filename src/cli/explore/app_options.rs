//! An application that the command line describes, in place of a file.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use serde_json::Value;

use super::ExploreArgs;
use crate::cli::CliError;
use crate::cli::options::usage;
use crate::explore::app::AppFile;

impl ExploreArgs {
    /// The application of `--app`, if there is one; `--write` keeps it.
    ///
    /// # Errors
    /// [`CliError::Usage`], which names the option.
    pub(super) fn app_of_options(&self) -> Result<Option<AppFile>, CliError> {
        let Some(app) = &self.app else { return Ok(None) };
        let text = text(app, self.prepare.as_deref(), &self.request).map_err(CliError::Usage)?;
        let path = self.write.as_deref().unwrap_or(Path::new("app.toml"));
        let mut file = AppFile::parse(&text, path).map_err(|error| CliError::Usage(error.to_string()))?;
        if let Some(path) = &self.write {
            let written = OpenOptions::new().write(true).create_new(true).open(path);
            let written = written.and_then(|mut file| file.write_all(text.as_bytes()));
            if let Err(error) = written {
                return usage(format!("--write {}: {error}", path.display()));
            }
        } else {
            app.clone_into(&mut file.title);
        }
        // Its programs run where the command line was written.
        file.folder = std::env::current_dir().map_err(|error| CliError::Environment(error.to_string()))?;
        if let Some(service) = &mut file.service {
            service.folder.clone_from(&file.folder);
        }
        Ok(Some(file))
    }
}

/// The text of a file.
fn text(app: &str, prepare: Option<&str>, requests: &[String]) -> Result<String, String> {
    let mut text = format!("[app]\nstart = {}\n", quoted(app));
    if let Some(prepare) = prepare {
        let _ = writeln!(text, "prepare = {}", quoted(prepare));
    }
    for request in requests {
        let mut parts = request.trim().splitn(3, char::is_whitespace);
        let (method, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let _ = writeln!(text, "\n[[request]]\nsend = {}", quoted(&format!("{method} {path}")));
        let body = parts.next().unwrap_or_default().trim();
        if body.starts_with(['{', '[']) {
            let json: Value = serde_json::from_str(body)
                .map_err(|error| format!("--request {request:?}: expected JSON behind the path: {error}"))?;
            match inline(&json) {
                Some(inline) => drop(writeln!(text, "json = {inline}")),
                // TOML has no null.
                None => drop(writeln!(
                    text,
                    "text = {}\nheaders = {{ content-type = \"application/json\" }}",
                    quoted(&json.to_string())
                )),
            }
        } else if !body.is_empty() {
            let _ = writeln!(text, "text = {}", quoted(body));
        }
    }
    Ok(text)
}

/// A basic string of TOML, which has the escapes of JSON.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// A value of JSON in TOML; `None` if it has a null.
fn inline(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Array(values) => {
            let all: Option<Vec<String>> = values.iter().map(inline).collect();
            format!("[{}]", all?.join(", "))
        }
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| Some(format!("{} = {}", quoted(name), inline(value)?));
            let all: Option<Vec<String>> = fields.iter().map(field).collect();
            format!("{{ {} }}", all?.join(", "))
        }
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_a_file() {
        let requests = [
            "POST /withdraw {\"user\": 1, \"tags\": [\"a\\\"b\"]}".to_owned(),
            "GET /balance".to_owned(),
            "PUT /x {\"a\":null}".to_owned(),
        ];
        let text = text("node server.js", Some("npm run migrate"), &requests).expect("a file");
        let file = AppFile::parse(&text, Path::new("/tmp/app.toml")).expect("a file");
        let titles: Vec<String> = file.actors.iter().map(crate::explore::app::app_file::ActorScript::title).collect();
        assert_eq!(
            titles,
            ["POST /withdraw {\"tags\":[\"a\\\"b\"],\"user\":1}", "GET /balance", "PUT /x {\"a\":null}"]
        );
        assert_eq!(file.programs().collect::<Vec<_>>(), ["npm run migrate", "node server.js"]);
        let error = super::text("x", None, &["POST / {".to_owned()]).expect_err("a refusal");
        assert!(error.starts_with("--request \"POST / {\": expected JSON behind the path"), "{error}");
    }
}
