//! SQL with placeholders for values that the session has read before.

use std::collections::BTreeMap;

use serde::Deserialize;

/// SQL with placeholders. Only `{identifier}` is one, or identifiers with dots between them, so array and JSON literals are plain text. The last
/// can be a JSON pointer, as in `{A.body./balance}`. `{{identifier}` is the text `{identifier}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct SqlTemplate(Vec<SqlPart>);

impl From<String> for SqlTemplate {
    fn from(sql: String) -> Self {
        Self::parse(&sql)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum SqlPart {
    Text(String),
    Placeholder(String),
}

/// A value as an SQL literal. No value can end its literal early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal(String);

/// A placeholder for which there is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{{{name}}}: no earlier statement of this session returned rows with this column (columns read so far: {known}); \
     write {{{{{name}}} for the text in braces"
)]
pub struct MissingVariable {
    name: String,
    known: String,
}

/// The values that a session has read, by column, and by `statement.column`.
pub type Variables = BTreeMap<String, Literal>;

impl SqlTemplate {
    /// Parses the placeholders. Any text is a valid template.
    #[must_use]
    pub fn parse(sql: &str) -> Self {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = sql;
        while let Some((before, behind)) = rest.split_once('{') {
            text.push_str(before);
            if let Some(name) = identifier_in_braces(behind) {
                parts.push(SqlPart::Text(std::mem::take(&mut text)));
                parts.push(SqlPart::Placeholder(name.to_owned()));
                rest = &behind[name.len() + 1..];
            } else if let Some(name) = behind.strip_prefix('{').and_then(identifier_in_braces) {
                text.extend(["{", name, "}"]);
                rest = &behind[name.len() + 2..];
            } else {
                text.push('{');
                rest = behind;
            }
        }
        text.push_str(rest);
        parts.push(SqlPart::Text(text));
        Self(parts)
    }

    /// The SQL with a value in place of each placeholder.
    ///
    /// # Errors
    /// [`MissingVariable`] if a placeholder has no value.
    pub fn fill(&self, variables: &Variables) -> Result<String, MissingVariable> {
        let part = |part: &SqlPart| match part {
            SqlPart::Text(text) => Ok(text.clone()),
            SqlPart::Placeholder(name) => {
                variables.get(name).map(|Literal(sql)| sql.clone()).ok_or_else(|| missing(name, variables))
            }
        };
        self.0.iter().map(part).collect()
    }

    /// The SQL with `null` in place of each placeholder: what the statement is, whatever the values are.
    #[must_use]
    pub fn shape(&self) -> String {
        let part = |part: &SqlPart| match part {
            SqlPart::Text(text) => text.clone(),
            SqlPart::Placeholder(_) => "null".to_owned(),
        };
        self.0.iter().map(part).collect()
    }

    /// The names of its placeholders.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            SqlPart::Placeholder(name) => Some(name.as_str()),
            SqlPart::Text(_) => None,
        })
    }

    /// The template with this text in place of all placeholders of this name.
    #[must_use]
    pub fn with(&self, name: &str, text: &str) -> Self {
        let part = |part: &SqlPart| match part {
            SqlPart::Placeholder(placeholder) if placeholder == name => SqlPart::Text(text.to_owned()),
            other => other.clone(),
        };
        Self(self.0.iter().map(part).collect())
    }
}

fn identifier_in_braces(behind: &str) -> Option<&str> {
    let (name, _) = behind.split_once('}')?;
    // A pointer begins with a slash and may have dots.
    let (names, pointer) = name.split_once("./").unwrap_or((name, ""));
    (names.split('.').all(is_identifier) && !pointer.contains(['{', '\'', '"'])).then_some(name)
}

fn is_identifier(name: &str) -> bool {
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    begins && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn missing(name: &str, variables: &Variables) -> MissingVariable {
    let known = if variables.is_empty() {
        "none".to_owned()
    } else {
        variables.keys().filter(|name| !name.contains('.')).map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    MissingVariable { name: name.to_owned(), known }
}

impl Literal {
    /// The value of a column in PostgreSQL's text format; `None` is null.
    #[must_use]
    pub fn new(type_name: &str, value: Option<&str>) -> Self {
        let Some(value) = value else { return Self::null() };
        match type_name {
            "BOOL" => Self(if value == "t" { "true" } else { "false" }.to_owned()),
            // NaN and the infinities are written as text in SQL as well.
            "INT2" | "INT4" | "INT8" | "NUMERIC" | "FLOAT4" | "FLOAT8"
                if value.ends_with(|last: char| last.is_ascii_digit()) =>
            {
                Self::number(value)
            }
            _ => Self::text(value),
        }
    }

    /// The values of several rows, as a list for `in (…)`.
    #[must_use]
    pub fn list(values: &[Self]) -> Self {
        Self(values.iter().map(|Self(sql)| sql.as_str()).collect::<Vec<_>>().join(", "))
    }

    /// Null.
    #[must_use]
    pub fn null() -> Self {
        Self("null".to_owned())
    }

    /// A number. If it is negative, it is in parentheses, because two minus signs would begin a comment.
    fn number(value: &str) -> Self {
        Self(if value.starts_with('-') { format!("({value})") } else { value.to_owned() })
    }

    /// A text, quoted as by `quote_literal`: correct for each value of `standard_conforming_strings`.
    fn text(value: &str) -> Self {
        let quoted = value.replace('\'', "''");
        Self(if value.contains('\\') { format!(" E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn variables() -> Variables {
        [("n", Literal::new("INT8", Some("5"))), ("minus", Literal::new("NUMERIC", Some("-0.5")))]
            .into_iter()
            .chain([("read.n", Literal::new("INT8", Some("6")))])
            .chain([("many", Literal::list(&[Literal("1".to_owned()), Literal("2".to_owned())]))])
            .chain([("name", Literal::new("TEXT", Some("O'Hara"))), ("nothing", Literal::new("INT4", None))])
            .map(|(name, literal)| (name.to_owned(), literal))
            .collect()
    }

    #[test]
    fn only_identifiers_in_braces_are_placeholders() {
        for (sql, expected) in [
            ("select {n}", "select 5"),
            ("7-{minus}", "7-(-0.5)"),
            ("({name}, {nothing}){n}", "('O''Hara', null)5"),
            ("'{1,2}' '{\"n\":1}' {} { n } {n", "'{1,2}' '{\"n\":1}' {} { n } {n"),
            ("'{{1,2},{3,4}}'", "'{{1,2},{3,4}}'"),
            ("'{{n},{{minus}'", "'{n},{minus}'"),
            ("{read.n} {read.} {1.n} {{read.n}", "6 {read.} {1.n} {read.n}"),
            ("n in ({many})", "n in (1, 2)"),
            ("'{{{n}'", "'{{n}'"),
            ("{é}{7n}", "{é}{7n}"),
            ("", ""),
        ] {
            assert_eq!(SqlTemplate::parse(sql).fill(&variables()).unwrap(), expected, "{sql}");
        }
    }

    #[test]
    fn a_placeholder_without_a_value_is_named_in_the_error() {
        let error = SqlTemplate::parse("select {balance}").fill(&variables()).unwrap_err().to_string();
        assert!(error.starts_with("{balance}: no earlier statement"), "{error}");
        assert!(
            error.contains("(columns read so far: many, minus, n, name, nothing)")
                && error.ends_with("{{balance} for the text in braces")
        );
    }

    #[test]
    fn a_placeholder_can_be_replaced_by_sql_before_the_values_are_known() {
        let template = SqlTemplate::parse("begin isolation level {isolation} -- {n}").with("isolation", "serializable");
        assert_eq!(template.placeholders().collect::<Vec<_>>(), ["n"]);
        assert_eq!(template.fill(&variables()).unwrap(), "begin isolation level serializable -- 5");
    }

    #[test]
    fn a_value_is_written_as_a_literal_of_its_type() {
        for (type_name, value, expected) in [
            ("INT8", Some("-9223372036854775808"), "(-9223372036854775808)"),
            ("FLOAT8", Some("1e-07"), "1e-07"),
            ("FLOAT8", Some("-Infinity"), "'-Infinity'"),
            ("NUMERIC", Some("NaN"), "'NaN'"),
            ("BOOL", Some("t"), "true"),
            ("TEXT", Some("5"), "'5'"),
            ("TEXT", Some(r"\' or 1=1"), r" E'\\'' or 1=1'"),
            ("XID", Some("731"), "'731'"),
            ("TEXT", None, "null"),
        ] {
            assert_eq!(Literal::new(type_name, value), Literal(expected.to_owned()));
        }
    }

    /// Reads one SQL literal from the beginning of the text, as PostgreSQL's scanner does.
    fn scan(sql: &str) -> Option<(String, &str)> {
        let escapes = sql.starts_with(" E'");
        let mut value = String::new();
        let mut rest = sql.strip_prefix(if escapes { " E'" } else { "'" })?.chars();
        loop {
            match rest.next()? {
                '\\' if escapes => value.push(rest.next()?),
                '\'' if rest.as_str().starts_with('\'') => value.extend(rest.next()),
                '\'' => return Some((value, rest.as_str())),
                other => value.push(other),
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_ends_its_literal_early(text in r"[a'\\{}$;E\n-]{0,12}|\PC{0,12}", behind in "[a'\\\\]{0,3}") {
            let variables = Variables::from([("text".to_owned(), Literal::new("TEXT", Some(&text)))]);
            let filled = SqlTemplate::parse("{text},").fill(&variables).unwrap() + &behind;
            let (value, rest) = scan(&filled).unwrap();
            prop_assert_eq!(value, text);
            prop_assert_eq!(rest, format!(",{behind}"));
        }

        #[test]
        fn text_without_placeholders_is_unchanged(sql in "[^{]*([{][0-9 ,\"}][^{]*){0,4}") {
            prop_assert_eq!(SqlTemplate::parse(&sql).fill(&Variables::new()), Ok(sql));
        }
    }
}
