//! Reads Rust source far enough to tell code from strings and comments, and code into tokens.

use std::fs;
use std::path::Path;

/// A source file: its path below the package, with `/` as the separator, and its text.
pub struct SourceFile {
    pub path: String,
    pub text: String,
}

impl SourceFile {
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }
}

/// All files of a folder of the package with one of these endings, in the order of their paths.
pub fn files_below(folder: &str, endings: &[&str]) -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if endings.iter().any(|ending| path.extension().is_some_and(|extension| extension == *ending)) {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.push(SourceFile { path: name, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// One file of the package.
pub fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A piece of text, and the line that it begins on, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    pub line: usize,
    pub text: String,
}

/// A source file, taken apart.
#[derive(Default)]
pub struct Scan {
    /// The code, with a space for each character of a string, a comment or a lifetime: lines stay where they are.
    pub code: String,
    pub strings: Vec<Text>,
    pub comments: Vec<Text>,
}

/// Takes a source file apart.
pub fn scan(text: &str) -> Scan {
    let mut scanner = Scanner { letters: text.chars().collect(), at: 0, line: 1, scan: Scan::default() };
    while scanner.at < scanner.letters.len() {
        scanner.step();
    }
    scanner.scan
}

struct Scanner {
    letters: Vec<char>,
    at: usize,
    line: usize,
    scan: Scan,
}

impl Scanner {
    fn peek(&self, ahead: usize) -> char {
        self.letters.get(self.at + ahead).copied().unwrap_or('\0')
    }

    /// Takes a letter that is code.
    fn take(&mut self) -> char {
        let letter = self.peek(0);
        self.at += 1;
        self.line += usize::from(letter == '\n');
        self.scan.code.push(letter);
        letter
    }

    /// Takes a letter that is no code.
    fn skip(&mut self) -> char {
        let letter = self.peek(0);
        self.at += 1;
        self.line += usize::from(letter == '\n');
        self.scan.code.push(if letter == '\n' { '\n' } else { ' ' });
        letter
    }

    fn skip_all(&mut self, letters: usize) {
        for _ in 0..letters {
            self.skip();
        }
    }

    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => self.line_comment(),
            ('/', '*') => self.block_comment(),
            ('"', _) => self.string(),
            ('\'', _) => self.quote(),
            (letter, _) if is_name(letter) => self.name(),
            _ => {
                self.take();
            }
        }
    }

    /// A name; or, where it is the prefix of a raw string, that string.
    fn name(&mut self) {
        let mut end = 0;
        while is_name(self.peek(end)) {
            end += 1;
        }
        let name: String = self.letters[self.at..self.at + end].iter().collect();
        let mut hashes = 0;
        while self.peek(end + hashes) == '#' {
            hashes += 1;
        }
        if matches!(name.as_str(), "r" | "br" | "cr") && self.peek(end + hashes) == '"' {
            self.skip_all(end + hashes + 1);
            return self.raw_string(hashes);
        }
        for _ in 0..end {
            self.take();
        }
        if name == "r" && hashes == 1 {
            // A raw name such as r#type.
            self.take();
        }
    }

    fn line_comment(&mut self) {
        let mut comment = Text { line: self.line, text: String::new() };
        while self.at < self.letters.len() && self.peek(0) != '\n' {
            comment.text.push(self.skip());
        }
        self.scan.comments.push(comment);
    }

    fn block_comment(&mut self) {
        let mut comment = Text { line: self.line, text: String::new() };
        let mut depth = 0;
        while self.at < self.letters.len() {
            let pair = (self.peek(0), self.peek(1));
            depth += usize::from(pair == ('/', '*'));
            depth -= usize::from(pair == ('*', '/'));
            if matches!(pair, ('/', '*') | ('*', '/')) {
                comment.text.push(self.skip());
            }
            comment.text.push(self.skip());
            if depth == 0 {
                break;
            }
        }
        self.scan.comments.push(comment);
    }

    fn string(&mut self) {
        let mut string = Text { line: self.line, text: String::new() };
        self.skip();
        while self.at < self.letters.len() {
            match self.skip() {
                '"' => break,
                // What is escaped is no letter of a word.
                '\\' => string.text.push(if self.skip() == '\n' { '\n' } else { ' ' }),
                letter => string.text.push(letter),
            }
        }
        self.scan.strings.push(string);
    }

    fn raw_string(&mut self, hashes: usize) {
        let mut string = Text { line: self.line, text: String::new() };
        while self.at < self.letters.len() {
            let letter = self.skip();
            if letter == '"' && (0..hashes).all(|ahead| self.peek(ahead) == '#') {
                self.skip_all(hashes);
                break;
            }
            string.text.push(letter);
        }
        self.scan.strings.push(string);
    }

    /// A character, or a lifetime.
    fn quote(&mut self) {
        self.skip();
        if self.peek(0) == '\\' {
            self.skip();
            self.skip();
            while self.at < self.letters.len() && self.skip() != '\'' {}
        } else if self.peek(1) == '\'' {
            self.skip();
            self.skip();
        } else {
            while is_name(self.peek(0)) {
                self.skip();
            }
        }
    }
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// A name, `::`, or another character of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub line: usize,
    pub text: String,
}

impl Token {
    /// Whether it is a name, a keyword included.
    pub fn is_name(&self) -> bool {
        self.text.starts_with(|first: char| first.is_alphabetic() || first == '_')
    }
}

/// The tokens of code without strings and comments.
pub fn tokens(code: &str) -> Vec<Token> {
    let letters: Vec<char> = code.chars().collect();
    let (mut at, mut line, mut tokens) = (0, 1, Vec::new());
    while let Some(&letter) = letters.get(at) {
        let start = at;
        at += 1;
        if is_name(letter) {
            while letters.get(at).is_some_and(|letter| is_name(*letter)) {
                at += 1;
            }
        } else if letter == ':' && letters.get(at) == Some(&':') {
            at += 1;
        }
        if !letter.is_whitespace() {
            tokens.push(Token { line, text: letters[start..at].iter().collect() });
        }
        line += usize::from(letter == '\n');
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(text: &str) -> Vec<String> {
        scan(text).strings.into_iter().map(|string| string.text).collect()
    }

    #[test]
    fn strings_and_comments_are_told_from_code() {
        let source = "let a = \"x // y\\\" z\"; // one \"two\"\nb /* three /* four */ five */ c";
        let scan = scan(source);
        assert_eq!(strings(source), ["x // y  z"]);
        let comments: Vec<_> = scan.comments.iter().map(|comment| (comment.line, comment.text.as_str())).collect();
        assert_eq!(comments, [(1, "// one \"two\""), (2, "/* three /* four */ five */")]);
        let names: Vec<_> = tokens(&scan.code).into_iter().map(|token| (token.line, token.text)).collect();
        let expected = [(1, "let"), (1, "a"), (1, "="), (1, ";"), (2, "b"), (2, "c")];
        assert_eq!(names, expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn raw_strings_characters_and_lifetimes_do_not_confuse_it() {
        assert_eq!(strings("r#\"a \"b\" c\"# br\"d\" b\"e\" r\"\""), ["a \"b\" c", "d", "e", ""]);
        assert_eq!(strings("'\"' '\\'' '\\u{1}' \"a\""), ["a"]);
        assert_eq!(strings("fn f<'a, 'b>(x: &'a str) { \"b\" }"), ["b"]);
        let code: String = scan("x<'a> = '{' r#type").code.split_whitespace().collect();
        assert_eq!(code, "x<>=r#type");
    }
}
