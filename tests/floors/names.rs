//! A name stands for one type in the whole project.

use std::collections::BTreeMap;

use super::imports::type_definitions;
use super::source::SourceFile;

/// A name that may stand for several types, and why.
pub type Exception<'a> = (&'a str, &'a str);

/// The names that stand for several types, and the exceptions that are none.
pub fn duplicates(files: &[SourceFile], exceptions: &[Exception<'_>]) -> Vec<String> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        for found in type_definitions(file) {
            places.entry(found.name).or_default().push(format!("{}:{}", file.path, found.line));
        }
    }
    places.retain(|_, places| places.len() > 1);
    let stale = exceptions.iter().filter(|(name, _)| !places.contains_key(*name));
    let mut found: Vec<String> =
        stale.map(|(name, _)| format!("{name} is an exception, but no two types have this name")).collect();
    places.retain(|name, _| !exceptions.iter().any(|(exception, _)| exception == name));
    found.extend(places.iter().map(|(name, places)| format!("{name} names several types: {}", places.join(", "))));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(first: &str, second: &str, exceptions: &[Exception<'_>]) -> Vec<String> {
        duplicates(&[SourceFile::new("src/a.rs", first), SourceFile::new("crates/b/src/lib.rs", second)], exceptions)
    }

    #[test]
    fn a_second_type_of_the_same_name_is_found() {
        let expected = "Found names several types: src/a.rs:2, crates/b/src/lib.rs:1";
        for (first, second) in [
            ("\nstruct Found;", "pub enum Found { One }"),
            ("\npub(crate) trait Found {}", "type Found<T> = Vec<T>;"),
            (
                "\nmacro_rules! m { ($a:ident) => { pub enum Found { $a } fn f() { struct Other; } }; }",
                "struct Other; type Found = u8;",
            ),
            ("\nmod inner { pub struct Found<'a>(&'a str); }", "#[derive(Debug)] struct Found { text: String }"),
        ] {
            assert_eq!(found(first, second, &[]), [expected], "{first}");
        }
    }

    #[test]
    fn names_in_functions_tests_implementations_and_texts_do_not_count() {
        let first = "struct Found;";
        for second in [
            "fn f() { struct Found; }",
            "mod tests { struct Found; }",
            "trait Other { type Found; } impl Other for u8 { type Found = u8; }",
            "// struct Found;\nconst TEXT: &str = \"struct Found;\";",
        ] {
            assert_eq!(found(first, second, &[]), Vec::<String>::new(), "{second}");
        }
    }

    #[test]
    fn an_exception_allows_a_name_and_must_be_needed() {
        let exceptions = [("Found", "a reason")];
        assert_eq!(found("struct Found;", "struct Found;", &exceptions), Vec::<String>::new());
        let stale = found("struct Found;", "struct Other;", &exceptions);
        assert_eq!(stale, ["Found is an exception, but no two types have this name"]);
    }
}
