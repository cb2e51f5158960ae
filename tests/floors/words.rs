//! Words that take a program, a request or a session for a person: none in what a user reads, few in comments.

use std::path::Path;

use super::imports::functions;
use super::source::{SourceFile, scan};

const WORDS: [&str; 7] = ["who", "whoever", "nobody", "everybody", "somebody", "anybody", "whosoever"];

/// A word that may stay: the file, a part of the text that contains it, and why.
pub type Exception<'a> = (&'a str, &'a str, &'a str);

/// A word in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The file and the line.
    pub place: String,
    /// The line that it is in.
    pub text: String,
}

/// The words of some files: those that a user reads, and those that only a reader of the source meets.
#[derive(Debug, Default)]
pub struct Hits {
    pub in_texts: Vec<Hit>,
    pub in_comments: Vec<Hit>,
    /// Exceptions that no word needs.
    pub stale: Vec<String>,
}

/// The words in these files. In Rust the strings and the names of functions are texts; in other files, every line that
/// is no comment.
pub fn find(files: &[SourceFile], exceptions: &[Exception<'_>]) -> Hits {
    let mut hits = Hits::default();
    let mut needed = vec![false; exceptions.len()];
    for file in files {
        let mut look = |line: usize, text: &str, found: &mut Vec<Hit>| {
            for (offset, text) in text.lines().enumerate().filter(|(_, text)| has_word(text)) {
                let allowed = exceptions.iter().position(|(path, part, _)| *path == file.path && text.contains(part));
                match allowed {
                    Some(index) => needed[index] = true,
                    None => found
                        .push(Hit { place: format!("{}:{}", file.path, line + offset), text: text.trim().to_owned() }),
                }
            }
        };
        let extension = Path::new(&file.path).extension().unwrap_or_default();
        if extension == "rs" {
            let scan = scan(&file.text);
            for string in &scan.strings {
                look(string.line, &string.text, &mut hits.in_texts);
            }
            for comment in &scan.comments {
                look(comment.line, &comment.text, &mut hits.in_comments);
            }
            for (line, name) in functions(&file.text) {
                look(line, &name, &mut hits.in_texts);
            }
        } else {
            for (index, line) in file.text.lines().enumerate() {
                let comment = ["//", "/*", "* ", "--", "#"].iter().any(|start| line.trim_start().starts_with(start));
                let comment = comment && extension != "md";
                look(index + 1, line, if comment { &mut hits.in_comments } else { &mut hits.in_texts });
            }
        }
    }
    let stale = exceptions.iter().zip(needed).filter(|(_, needed)| !needed);
    hits.stale =
        stale.map(|((path, part, _), _)| format!("{path}: {part:?} is an exception that nothing needs")).collect();
    hits
}

/// Whether a text has one of the words, between any characters that are no letters: `who_waits` and `Who's` have one.
fn has_word(text: &str) -> bool {
    text.split(|letter: char| !letter.is_alphabetic()).any(|word| WORDS.contains(&word.to_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_found_in_strings_names_of_functions_and_comments() {
        let source =
            "//! For whoever reads.\nconst A: &str = \"first\n  Who waits?\\nNobody\";\nfn who_waits() {} // it's\n";
        let hits = find(&[SourceFile::new("src/a.rs", source)], &[]);
        let places = |hits: &[Hit]| hits.iter().map(|hit| hit.place.clone()).collect::<Vec<_>>();
        assert_eq!(places(&hits.in_texts), ["src/a.rs:3", "src/a.rs:4"]);
        assert_eq!(places(&hits.in_comments), ["src/a.rs:1"]);
    }

    #[test]
    fn other_words_and_names_in_code_are_not_found() {
        let source = "/// Whole, whose, knobs.\nfn f(who: u8) { let whoever = \"whole\"; }";
        let hits = find(&[SourceFile::new("src/a.rs", source)], &[]);
        assert!(hits.in_texts.is_empty() && hits.in_comments.is_empty(), "{hits:?}");
    }

    #[test]
    fn every_line_of_a_document_counts() {
        let hits = find(&[SourceFile::new("README.md", "# Title\n\n# Who\n-- everybody's\n")], &[]);
        assert_eq!((hits.in_texts.len(), hits.in_comments.len()), (2, 0));
        let hits = find(&[SourceFile::new("src/a.sql", "-- nobody\nselect 'somebody';\n")], &[]);
        assert_eq!((hits.in_texts.len(), hits.in_comments.len()), (1, 1));
    }

    #[test]
    fn an_exception_allows_a_text_and_must_be_needed() {
        let exceptions = [("src/a.rs", "`nobody`", "an account"), ("src/a.rs", "unused", "nothing")];
        let hits = find(&[SourceFile::new("src/a.rs", "// The account `nobody`.")], &exceptions);
        assert!(hits.in_comments.is_empty());
        assert_eq!(hits.stale, ["src/a.rs: \"unused\" is an exception that nothing needs"]);
    }
}
