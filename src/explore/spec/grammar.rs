//! A spec as data.

use std::collections::BTreeSet;
use std::path::Path;

use super::scanner::{SpecToken, Token, tokens};
use crate::config::SCRIPT_FILE_BYTES;
use crate::report::input_file::read_text;

/// Sessions at most. PostgreSQL's own specs have up to nine.
pub const SPEC_SESSIONS_MAX: usize = 16;

/// A spec file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsolationSpec {
    /// SQL that runs before each permutation, each text by itself.
    pub setups: Vec<String>,
    /// SQL that runs after each permutation.
    pub teardown: Option<String>,
    /// The sessions.
    pub sessions: Vec<SpecSession>,
    /// The listed permutations. Without any, all interleavings of the steps are run.
    pub permutations: Vec<Vec<PermutedStep>>,
}

/// A session: a connection that sends steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecSession {
    /// Its name.
    pub name: String,
    /// SQL that it runs before its first step.
    pub setup: Option<String>,
    /// Its steps.
    pub steps: Vec<SpecStep>,
    /// SQL that it runs after the permutation.
    pub teardown: Option<String>,
}

/// A step: SQL that is sent as one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecStep {
    /// Its name, unique in the file.
    pub name: String,
    /// One statement or several.
    pub sql: String,
    /// Its line in the file, from 1.
    pub line: usize,
}

/// A place of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StepPlace {
    /// The session, from 0.
    pub session: usize,
    /// The step in it, from 0.
    pub step: usize,
}

/// A step in a permutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermutedStep {
    /// The step.
    pub place: StepPlace,
    /// What delays the report that it has ended.
    pub markers: Vec<StepMarker>,
}

/// What delays the report that a step has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepMarker {
    /// `*`: it is reported as waiting first.
    Once,
    /// The other step must have ended.
    AfterStep(StepPlace),
    /// The session of the other step must have sent as many notices since this step began.
    AfterNotices(StepPlace, u32),
}

/// Why a spec cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpecError(String);

impl IsolationSpec {
    /// Reads a spec.
    ///
    /// # Errors
    /// [`SpecError`], which names the file, the line, and what is expected.
    pub fn read(path: &Path) -> Result<Self, SpecError> {
        let text = read_text(path, SCRIPT_FILE_BYTES).map_err(|error| error.to_string());
        text.and_then(|text| Self::parse(&text)).map_err(|reason| SpecError(format!("{}: {reason}", path.display())))
    }

    /// Parses the text of a spec. The error is a sentence that names the line.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = SpecParser { tokens: tokens(text)?, at: 0 };
        let mut setups = Vec::new();
        while let Some(sql) = parser.block("setup")? {
            setups.push(sql);
        }
        let teardown = parser.block("teardown")?;
        let mut sessions = Vec::new();
        while parser.keyword("session") {
            sessions.push(parser.session()?);
        }
        if sessions.is_empty() {
            return Err(parser.wrong("setup, teardown or session", None));
        }
        if sessions.len() > SPEC_SESSIONS_MAX {
            let found = sessions.len();
            return Err(parser.wrong(&format!("1 to {SPEC_SESSIONS_MAX} sessions"), Some(&format!("{found} before"))));
        }
        check_names(&sessions)?;
        let mut permutations = Vec::new();
        while parser.keyword("permutation") {
            permutations.push(parser.permutation(&sessions)?);
        }
        if parser.at < parser.tokens.len() {
            return Err(parser.wrong("setup, teardown, session and permutation, in this order", None));
        }
        Ok(Self { setups, teardown, sessions, permutations })
    }

    /// The names of the steps that no permutation has, in alphabetical order. If none is listed, each step is used.
    #[must_use]
    pub fn unused_steps(&self) -> BTreeSet<&str> {
        let used: BTreeSet<&str> =
            self.permutations.iter().flatten().map(|step| self.step(step.place).name.as_str()).collect();
        let all = self.sessions.iter().flat_map(|session| &session.steps).map(|step| step.name.as_str());
        all.filter(|name| !self.permutations.is_empty() && !used.contains(name)).collect()
    }

    /// The step at a place.
    #[must_use]
    pub fn step(&self, place: StepPlace) -> &SpecStep {
        &self.sessions[place.session].steps[place.step]
    }
}

fn check_names(sessions: &[SpecSession]) -> Result<(), String> {
    let mut names = BTreeSet::new();
    let mut steps = sessions.iter().flat_map(|session| &session.steps);
    match steps.find(|step| !names.insert(&step.name)) {
        Some(step) => {
            Err(format!("line {}: expected each name of a step once, found {:?} twice", step.line, step.name))
        }
        None => Ok(()),
    }
}

struct SpecParser {
    tokens: Vec<SpecToken>,
    at: usize,
}

impl SpecParser {
    fn next_is(&self, wanted: &Token) -> bool {
        self.tokens.get(self.at).is_some_and(|(token, _)| token == wanted)
    }

    fn accept(&mut self, wanted: &Token) -> bool {
        let found = self.next_is(wanted);
        self.at += usize::from(found);
        found
    }

    fn keyword(&mut self, word: &str) -> bool {
        self.accept(&Token::Word(word.to_owned()))
    }

    fn wrong(&self, expected: &str, found: Option<&str>) -> String {
        let (line, token) = match self.tokens.get(self.at) {
            Some((token, line)) => (*line, token.to_string()),
            None => (self.tokens.last().map_or(1, |(_, line)| *line), "the end of the file".to_owned()),
        };
        let found = found.map_or_else(|| token.clone(), |found| format!("{found} {token}"));
        format!("line {line}: expected {expected}, found {found}")
    }

    fn sql(&mut self, of: &str) -> Result<String, String> {
        let Some((Token::Sql(sql), _)) = self.tokens.get(self.at) else {
            return Err(self.wrong(&format!("the SQL of {of} in braces"), None));
        };
        self.at += 1;
        Ok(sql.clone())
    }

    /// The SQL after a keyword, if it is there.
    fn block(&mut self, keyword: &str) -> Result<Option<String>, String> {
        self.keyword(keyword).then(|| self.sql(keyword)).transpose()
    }

    fn name(&mut self, of: &str) -> Result<String, String> {
        const KEYWORDS: [&str; 6] = ["notices", "permutation", "session", "setup", "step", "teardown"];
        match self.tokens.get(self.at) {
            Some((Token::Word(word) | Token::Quoted(word), _))
                if !self.next_is(&Token::Word(word.clone())) || !KEYWORDS.contains(&word.as_str()) =>
            {
                self.at += 1;
                Ok(word.clone())
            }
            _ => Err(self.wrong(&format!("the name of {of} (a keyword only in double quotes)"), None)),
        }
    }

    fn session(&mut self) -> Result<SpecSession, String> {
        let name = self.name("a session")?;
        let setup = self.block("setup")?;
        let mut steps = Vec::new();
        while self.keyword("step") {
            let line = self.tokens[self.at - 1].1;
            let name = self.name("a step")?;
            steps.push(SpecStep { sql: self.sql(&format!("step {name}"))?, name, line });
        }
        if steps.is_empty() {
            return Err(self.wrong(&format!("a step of session {name}"), None));
        }
        let teardown = self.block("teardown")?;
        Ok(SpecSession { name, setup, steps, teardown })
    }

    fn permutation(&mut self, sessions: &[SpecSession]) -> Result<Vec<PermutedStep>, String> {
        let is_name = |parser: &Self| {
            matches!(parser.tokens.get(parser.at), Some((Token::Word(_) | Token::Quoted(_), _)))
                && !parser.next_is(&Token::Word("permutation".to_owned()))
        };
        let begin = self.at;
        let mut steps = Vec::new();
        while is_name(self) {
            let place = self.step_name(sessions)?;
            let mut markers = Vec::new();
            if self.accept(&Token::Symbol('(')) {
                markers.push(self.marker(sessions, place)?);
                while self.accept(&Token::Symbol(',')) {
                    markers.push(self.marker(sessions, place)?);
                }
                if !self.accept(&Token::Symbol(')')) {
                    return Err(self.wrong(", or ) after a marker", None));
                }
            }
            steps.push(PermutedStep { place, markers });
        }
        if steps.is_empty() {
            return Err(self.wrong("the names of steps", None));
        }
        let absent = |place: &StepPlace| !steps.iter().any(|step| step.place == *place);
        let others = steps.iter().flat_map(|step| &step.markers).filter_map(|marker| match marker {
            StepMarker::Once => None,
            StepMarker::AfterStep(other) | StepMarker::AfterNotices(other, _) => Some(*other),
        });
        match others.into_iter().find(absent) {
            Some(other) => {
                let (line, name) = (self.tokens[begin].1, &sessions[other.session].steps[other.step].name);
                Err(format!("line {line}: the marker {name} names a step that is not in its permutation"))
            }
            None => Ok(steps),
        }
    }

    fn step_name(&mut self, sessions: &[SpecSession]) -> Result<StepPlace, String> {
        let name = self.name("a step")?;
        let places = (0..).zip(sessions).flat_map(|(session, of)| {
            (0..).zip(&of.steps).map(move |(step, of)| (StepPlace { session, step }, &of.name))
        });
        let found = places.into_iter().find(|(_, known)| **known == name);
        found.map(|(place, _)| place).ok_or_else(|| {
            self.at -= 1;
            self.wrong("the name of a step above", None)
        })
    }

    fn marker(&mut self, sessions: &[SpecSession], of: StepPlace) -> Result<StepMarker, String> {
        if self.accept(&Token::Symbol('*')) {
            return Ok(StepMarker::Once);
        }
        let other = self.step_name(sessions)?;
        if other.session == of.session {
            self.at -= 1;
            return Err(self.wrong("a step of another session in a marker", None));
        }
        if !self.keyword("notices") {
            return Ok(StepMarker::AfterStep(other));
        }
        let Some((Token::Number(count), _)) = self.tokens.get(self.at) else {
            return Err(self.wrong("a number of notices", None));
        };
        self.at += 1;
        Ok(StepMarker::AfterNotices(other, *count))
    }
}
