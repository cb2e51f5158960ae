//! Names for ids that PostgreSQL generates. A UUID differs in every replay; its name, `#1`, `#2` … in order of appearance, does not.

use uuid::Uuid;

use super::transcript::{StepOutcome, Transcript, TranscriptStep};

/// Replaces the ids in a transcript by names.
pub fn without_ids(transcript: &mut Transcript) {
    NamedIds::default().rename_in(&mut transcript.entries);
}

/// The ids that have a name.
#[derive(Debug, Default)]
pub struct NamedIds(Vec<String>);

impl NamedIds {
    /// Replaces the ids in the values that were sent, and in the rows and notices that came back.
    pub fn rename_in(&mut self, entries: &mut [TranscriptStep]) {
        for entry in entries {
            let rows: &mut [Vec<String>] = match &mut entry.outcome {
                StepOutcome::Rows(rows) => rows,
                StepOutcome::Done
                | StepOutcome::Tag(_)
                | StepOutcome::Error { .. }
                | StepOutcome::Cut
                | StepOutcome::Lost => &mut [],
            };
            for text in entry.values.iter_mut().chain(rows.iter_mut().flatten()).chain(&mut entry.notices) {
                self.rename(text);
            }
        }
    }

    /// Replaces the ids in a text.
    pub fn rename(&mut self, text: &mut String) {
        rename_ids(text, &mut self.0);
    }
}

/// The length of a UUID as text, in bytes.
const ID_BYTES: usize = 36;

fn rename_ids(text: &mut String, names: &mut Vec<String>) {
    let mut at = 0;
    while at + ID_BYTES <= text.len() {
        let Some(id) = text.get(at..at + ID_BYTES).filter(|id| Uuid::try_parse(id).is_ok()).map(str::to_owned) else {
            at += 1;
            continue;
        };
        let number = names.iter().position(|name| *name == id).unwrap_or_else(|| {
            names.push(id);
            names.len() - 1
        });
        text.replace_range(at..at + ID_BYTES, &format!("#{}", number + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_get_names_in_the_order_of_their_appearance() {
        let (one, two) = (Uuid::from_u128(1).to_string(), Uuid::from_u128(2).to_string());
        let mut names = Vec::new();
        let mut text = format!("[{two}, {one}] ä {two}");
        rename_ids(&mut text, &mut names);
        assert_eq!(text, "[#1, #2] ä #1");
        let mut text = format!("id = {one}");
        rename_ids(&mut text, &mut names);
        assert_eq!(text, "id = #2");
    }
}
