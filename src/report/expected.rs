//! Files in the repository that a test makes again: what they hold is reviewed like code.

use std::fs;
use std::path::Path;

/// Set to 1, this writes the files instead of comparing them.
const UPDATE: &str = "UPDATE_DOCS";

/// Fails unless the file (from the root of the repository) holds this text.
pub fn expect_file(path: &str, text: &str) {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os(UPDATE).is_some_and(|value| value == "1") {
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(&full, text).unwrap();
    }
    let found = fs::read_to_string(&full).unwrap_or_else(|error| panic!("{path}: {error}; {UPDATE}=1 writes it"));
    assert!(
        found == text,
        "{path} is not what is made now. If the new one is right, write it with {UPDATE}=1 cargo test --lib\n{text}"
    );
}
