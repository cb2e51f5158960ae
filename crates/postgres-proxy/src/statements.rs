//! The prepared statements and portals of a connection, as its client's messages make them.
//!
//! The client's messages come before the server's answers. So a Parse takes effect here at once, and is undone if the
//! server refuses or skips it: the name then stands for the earlier statement again.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crate::answer::ResultField;
use crate::limits::{MAX_PREPARED, PREPARED_BYTES};
use crate::splitter::Frame;
use crate::value::{WireValue, format_at};
use crate::wire::{KeptText, WireReader};

/// A statement that the client prepared.
#[derive(Debug, Default)]
pub struct PreparedStatement {
    pub sql: Arc<KeptText>,
    /// The types that Parse names; 0 leaves the choice to the server.
    declared_types: Vec<u32>,
    /// The types that `ParameterDescription` names.
    pub described_types: OnceLock<Vec<u32>>,
    /// What `RowDescription` says of it.
    pub fields: OnceLock<Vec<ResultField>>,
}

impl PreparedStatement {
    fn type_of(&self, index: usize) -> Option<u32> {
        let declared = self.declared_types.get(index).copied().filter(|oid| *oid != 0);
        declared.or_else(|| self.described_types.get()?.get(index).copied())
    }
}

/// A statement with its bound values.
#[derive(Debug, Default)]
pub struct Portal {
    pub statement: Option<Arc<PreparedStatement>>,
    pub statement_name: String,
    pub values: Vec<WireValue>,
    /// The formats that Bind asks for; none if the message was cut before them.
    result_formats: Option<Vec<u16>>,
    /// What `RowDescription` says of the portal.
    pub fields: OnceLock<Vec<ResultField>>,
}

impl Portal {
    /// The columns of its rows, as far as they are known.
    pub fn result_fields(&self) -> Option<&[ResultField]> {
        let described = self.fields.get().or_else(|| self.statement.as_ref()?.fields.get());
        described.map(Vec::as_slice)
    }

    /// The format and the type of a column. An unknown format is taken for binary of unknown type, so it is shown as
    /// hexadecimal digits.
    pub fn format_of(&self, index: usize) -> (u16, Option<u32>) {
        let field = |fields: &[ResultField]| fields.get(index).map(|field| (field.format, field.type_oid));
        if let Some((format, oid)) = self.fields.get().and_then(|fields| field(fields)) {
            return (format, Some(oid));
        }
        let Some(formats) = &self.result_formats else { return (1, None) };
        let fields = self.statement.as_ref().and_then(|statement| statement.fields.get());
        (format_at(formats, index), fields.and_then(|fields| field(fields)).map(|(_, oid)| oid))
    }
}

/// How to take a Parse or a Close back.
#[derive(Debug)]
pub struct Undo {
    name: String,
    before: Option<Arc<PreparedStatement>>,
}

/// The names of a connection.
#[derive(Debug, Default)]
pub struct StatementMemory {
    prepared: HashMap<String, Arc<PreparedStatement>>,
    portals: HashMap<String, Arc<Portal>>,
    /// Bytes of SQL in `prepared`, at least.
    bytes: usize,
}

impl StatementMemory {
    /// A Parse: the statement, and how to undo it.
    pub fn parse(&mut self, frame: &Frame<'_>) -> Option<(Arc<PreparedStatement>, Undo)> {
        let mut reader = WireReader::new(frame.body);
        let name = reader.name()?;
        let (sql, whole) = reader.text_or_rest();
        let count = usize::from(reader.u16().unwrap_or(0));
        let declared_types = (0..count).map_while(|_| reader.u32()).collect();
        let statement =
            PreparedStatement { sql: Arc::new(KeptText::new(sql, whole)), declared_types, ..Default::default() };
        let statement = Arc::new(statement);
        let undo = self.set(name, Some(Arc::clone(&statement)));
        Some((statement, undo))
    }

    /// Lets a name stand for a statement, or for none.
    fn set(&mut self, name: String, statement: Option<Arc<PreparedStatement>>) -> Undo {
        let before = self.prepared.remove(&name);
        self.bytes -= before.as_ref().map_or(0, |before| before.sql.text.len());
        if let Some(statement) = statement
            && self.prepared.len() < MAX_PREPARED
            && self.bytes + statement.sql.text.len() <= PREPARED_BYTES
        {
            self.bytes += statement.sql.text.len();
            self.prepared.insert(name.clone(), statement);
        }
        Undo { name, before }
    }

    /// Takes back the newest change that was not taken back before.
    pub fn undo(&mut self, undo: Undo) {
        self.set(undo.name, undo.before);
    }

    /// A Bind. Returns false if the message is none.
    pub fn bind(&mut self, frame: &Frame<'_>) -> bool {
        let mut reader = WireReader::new(frame.body);
        let (Some(portal), Some(statement_name)) = (reader.name(), reader.name()) else { return false };
        let statement = self.prepared.get(&statement_name).cloned();
        let formats = read_formats(&mut reader).unwrap_or_default();
        let count = usize::from(reader.u16().unwrap_or(0));
        let mut values = Vec::new();
        for index in 0..count {
            let type_oid = statement.as_ref().and_then(|statement| statement.type_of(index));
            values.push(WireValue::read(&mut reader, format_at(&formats, index), type_oid));
            if values.last() == Some(&WireValue::MISSING) {
                // It stands for all values after it too.
                break;
            }
        }
        let result_formats = if frame.is_cut() { None } else { read_formats(&mut reader) };
        if self.portals.len() < MAX_PREPARED || self.portals.contains_key(&portal) {
            let bound = Portal { statement, statement_name, values, result_formats, fields: OnceLock::new() };
            self.portals.insert(portal, Arc::new(bound));
        }
        true
    }

    /// The statement of a name.
    pub fn statement(&self, name: &str) -> Option<Arc<PreparedStatement>> {
        self.prepared.get(name).cloned()
    }

    /// The portal of a name.
    pub fn portal(&self, name: &str) -> Option<Arc<Portal>> {
        self.portals.get(name).cloned()
    }

    /// A Close of a statement, and how to undo it.
    pub fn close_statement(&mut self, name: String) -> Undo {
        self.set(name, None)
    }

    /// A Close of a portal.
    pub fn close_portal(&mut self, name: &str) {
        self.portals.remove(name);
    }

    /// The transaction of the portals has ended.
    pub fn forget_portals(&mut self) {
        self.portals.clear();
    }

    /// DISCARD ALL or DEALLOCATE ALL.
    pub fn forget_statements(&mut self) {
        self.prepared.clear();
        self.bytes = 0;
    }
}

fn read_formats(reader: &mut WireReader<'_>) -> Option<Vec<u16>> {
    let count = reader.u16()?;
    (0..count).map(|_| reader.u16()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> Frame<'_> {
        Frame { tag: b'?', body, body_bytes: body.len() }
    }

    #[test]
    fn an_undone_parse_leaves_the_earlier_statement_under_the_name() {
        let mut memory = StatementMemory::default();
        let sql = |memory: &StatementMemory| memory.statement("s").map(|statement| statement.sql.text.clone());
        let (_, first) = memory.parse(&frame(b"s\0select 1\0\0\0")).unwrap();
        let (_, second) = memory.parse(&frame(b"s\0select 2\0\0\0")).unwrap();
        let closed = memory.close_statement("s".to_owned());
        assert_eq!(sql(&memory), None);
        memory.undo(closed);
        assert_eq!(sql(&memory).as_deref(), Some("select 2"));
        memory.undo(second);
        assert_eq!(sql(&memory).as_deref(), Some("select 1"));
        memory.undo(first);
        assert_eq!((sql(&memory), memory.bytes), (None, 0));
    }

    #[test]
    fn a_cut_bind_has_missing_values_and_results_of_unknown_format() {
        let mut memory = StatementMemory::default();
        memory.parse(&frame(b"\0select $1, $2\0\0\x02\0\0\0\x17\0\0\0\x19")).unwrap();
        let body = b"\0\0\0\x01\0\x01\0\x02\0\0\0\x04\0\0\0\x07\0\0\xff\xffab";
        assert!(memory.bind(&Frame { tag: b'B', body, body_bytes: 90_000 }));
        let portal = memory.portal("").unwrap();
        let texts: Vec<_> = portal.values.iter().map(|value| (value.text.as_deref(), value.cut)).collect();
        assert_eq!(texts, [(Some("7"), false), (Some("ab"), true)]);
        assert_eq!(portal.format_of(0), (1, None));
    }

    #[test]
    fn statements_beyond_the_limit_are_unknown() {
        let mut memory = StatementMemory::default();
        for number in 0..=MAX_PREPARED {
            memory.parse(&frame(format!("s{number}\0select 1\0\0\0").as_bytes())).unwrap();
        }
        assert!(memory.statement(&format!("s{}", MAX_PREPARED - 1)).is_some());
        assert!(memory.statement(&format!("s{MAX_PREPARED}")).is_none());
    }
}
