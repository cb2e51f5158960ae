//! Values of the wire, as text.
//!
//! A value comes in PostgreSQL's text format, which is shown as it is, or in the binary format of its type. The binary
//! formats of the common types are written as PostgreSQL writes them with `DateStyle` ISO and `TimeZone` UTC. A value
//! whose type is unknown here is shown as hexadecimal digits, because a guess could be a false value.

use std::fmt::Write as _;

use crate::limits::SHOWN_VALUE_BYTES;
use crate::numeric::numeric_text;
use crate::wire::{KeptText, WireReader};

/// How the text of a value came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueForm {
    /// The client or the server wrote this text.
    Text,
    /// Decoded from the binary format of its type.
    Decoded,
    /// The bytes of a binary value in hexadecimal digits, because its type is not known.
    Hex,
    /// The value lies beyond the part of the message that is kept, so nothing is known of it.
    Missing,
}

/// A bound value or a value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireValue {
    /// The value, or its beginning; none for NULL, and for [`ValueForm::Missing`].
    pub text: Option<String>,
    /// How the text came to be.
    pub form: ValueForm,
    /// Whether the value goes on after the text.
    pub cut: bool,
}

/// The format code of the binary format.
const BINARY: u16 = 1;

impl WireValue {
    pub(crate) const NULL: Self = Self { text: None, form: ValueForm::Text, cut: false };
    pub(crate) const MISSING: Self = Self { text: None, form: ValueForm::Missing, cut: true };

    /// A value of which `bytes` are there; `whole` tells whether these are all.
    pub(crate) fn new(bytes: &[u8], whole: bool, format: u16, type_oid: Option<u32>) -> Self {
        if format != BINARY {
            return Self::from_text(bytes, whole, ValueForm::Text);
        }
        match type_oid {
            Some(oid) if is_text(oid) => Self::from_text(bytes, whole, ValueForm::Decoded),
            Some(oid) if whole && bytes.len() <= SHOWN_VALUE_BYTES => match decode(oid, bytes) {
                Some(text) => Self { text: Some(text), form: ValueForm::Decoded, cut: false },
                None => Self::from_hex(bytes, whole),
            },
            _ => Self::from_hex(bytes, whole),
        }
    }

    fn from_text(bytes: &[u8], whole: bool, form: ValueForm) -> Self {
        let kept = KeptText::first(bytes, SHOWN_VALUE_BYTES, whole);
        Self { text: Some(kept.text), form, cut: kept.cut }
    }

    fn from_hex(bytes: &[u8], whole: bool) -> Self {
        let shown = &bytes[..bytes.len().min(SHOWN_VALUE_BYTES / 2)];
        Self { text: Some(hex(shown)), form: ValueForm::Hex, cut: !whole || shown.len() < bytes.len() }
    }

    /// Reads a value with its length before it. The length -1 is NULL.
    pub(crate) fn read(reader: &mut WireReader<'_>, format: u16, type_oid: Option<u32>) -> Self {
        let Some(length) = reader.i32() else { return Self::MISSING };
        let Ok(length) = usize::try_from(length) else { return Self::NULL };
        match reader.take(length) {
            Some(bytes) => Self::new(bytes, true, format, type_oid),
            None => Self::new(reader.rest(), false, format, type_oid),
        }
    }
}

/// The format of the value at an index, by the rule of Bind: no code means text, one code is for all.
pub(crate) fn format_at(formats: &[u16], index: usize) -> u16 {
    match formats {
        [] => 0,
        [all] => *all,
        each => each.get(index).copied().unwrap_or(0),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// char, name, text, json, xml, unknown, bpchar, varchar: the binary format is the text.
fn is_text(oid: u32) -> bool {
    matches!(oid, 18 | 19 | 25 | 114 | 142 | 705 | 1042 | 1043)
}

/// The text of a binary value; none if the type is not known here or the bytes do not fit it.
fn decode(oid: u32, bytes: &[u8]) -> Option<String> {
    Some(match oid {
        16 => if fixed::<1>(bytes)? == [0] { "f" } else { "t" }.to_owned(),
        17 => format!("\\x{}", hex(bytes)),
        20 => i64::from_be_bytes(fixed(bytes)?).to_string(),
        21 => i16::from_be_bytes(fixed(bytes)?).to_string(),
        23 => i32::from_be_bytes(fixed(bytes)?).to_string(),
        26 => u32::from_be_bytes(fixed(bytes)?).to_string(),
        700 => {
            let value = f32::from_be_bytes(fixed(bytes)?);
            float_text(&format!("{value:e}"), &value.to_string(), 6)
        }
        701 => {
            let value = f64::from_be_bytes(fixed(bytes)?);
            float_text(&format!("{value:e}"), &value.to_string(), 15)
        }
        1082 => date_text(i32::from_be_bytes(fixed(bytes)?))?,
        1083 => time_text(i64::from_be_bytes(fixed(bytes)?)),
        1114 => timestamp_text(i64::from_be_bytes(fixed(bytes)?), "")?,
        1184 => timestamp_text(i64::from_be_bytes(fixed(bytes)?), "+00")?,
        1700 => numeric_text(bytes)?,
        2950 => uuid_text(fixed(bytes)?),
        3802 => jsonb_text(bytes)?,
        // Arrays of the types above.
        1000 | 1001 | 1005 | 1007 | 1009 | 1015 | 1016 | 1021 | 1022 | 1115 | 1182 | 1185 | 1231 | 2951 => {
            array_text(bytes)?
        }
        _ => return None,
    })
}

fn fixed<const LENGTH: usize>(bytes: &[u8]) -> Option<[u8; LENGTH]> {
    bytes.try_into().ok()
}

/// PostgreSQL writes the shortest digits, with an exponent below 1e-4 and from `exponent_from` on.
fn float_text(scientific: &str, plain: &str, exponent_from: i32) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return match scientific {
            "inf" => "Infinity".to_owned(),
            "-inf" => "-Infinity".to_owned(),
            other => other.to_owned(),
        };
    };
    match exponent.parse::<i32>() {
        Ok(exponent) if exponent < -4 || exponent >= exponent_from => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        _ => plain.to_owned(),
    }
}

const MICROSECONDS_OF_A_DAY: i64 = 86_400_000_000;

/// Days from 1970-01-01 to 2000-01-01, the zero of PostgreSQL's dates.
const EPOCH_DAYS: i64 = 10_957;

fn date_text(days: i32) -> Option<String> {
    match days {
        i32::MAX => Some("infinity".to_owned()),
        i32::MIN => Some("-infinity".to_owned()),
        days => {
            let (date, era) = civil_date(i64::from(days))?;
            Some(format!("{date}{era}"))
        }
    }
}

fn timestamp_text(microseconds: i64, zone: &str) -> Option<String> {
    match microseconds {
        i64::MAX => return Some("infinity".to_owned()),
        i64::MIN => return Some("-infinity".to_owned()),
        _ => {}
    }
    let (date, era) = civil_date(microseconds.div_euclid(MICROSECONDS_OF_A_DAY))?;
    let time = time_text(microseconds.rem_euclid(MICROSECONDS_OF_A_DAY));
    Some(format!("{date} {time}{zone}{era}"))
}

fn time_text(microseconds: i64) -> String {
    let seconds = microseconds / 1_000_000;
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = microseconds % 1_000_000;
    if fraction != 0 {
        let _ = write!(text, ".{fraction:06}");
        text.truncate(text.trim_end_matches('0').len());
    }
    text
}

/// The date of a day since 2000-01-01 in the Gregorian calendar, and its era.
fn civil_date(days: i64) -> Option<(String, &'static str)> {
    // Howard Hinnant's algorithm: years begin in March, so that the leap day is the last of a year.
    let days = days.checked_add(EPOCH_DAYS + 719_468)?;
    let (cycle, day_of_cycle) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_cycle + cycle * 400 + i64::from(month <= 2);
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    Some((format!("{year:04}-{month:02}-{day:02}"), era))
}

fn uuid_text(bytes: [u8; 16]) -> String {
    let mut text = hex(&bytes);
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    text
}

/// A version byte before the text.
fn jsonb_text(bytes: &[u8]) -> Option<String> {
    let text = bytes.strip_prefix(&[1])?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// An array of one dimension; the elements are quoted where PostgreSQL quotes them.
fn array_text(bytes: &[u8]) -> Option<String> {
    let mut reader = WireReader::new(bytes);
    let dimensions = reader.u32()?;
    let _has_null = reader.u32()?;
    let element_oid = reader.u32()?;
    if dimensions == 0 {
        return Some("{}".to_owned());
    }
    let count = reader.u32()?;
    let lower_bound = reader.i32()?;
    if dimensions != 1 || lower_bound != 1 {
        return None;
    }
    let mut elements = Vec::new();
    for _ in 0..count {
        let length = reader.i32()?;
        elements.push(match usize::try_from(length) {
            Err(_) => "NULL".to_owned(),
            Ok(length) => quoted_element(&element_text(element_oid, reader.take(length)?)?),
        });
    }
    Some(format!("{{{}}}", elements.join(",")))
}

fn element_text(oid: u32, bytes: &[u8]) -> Option<String> {
    if is_text(oid) { Some(String::from_utf8_lossy(bytes).into_owned()) } else { decode(oid, bytes) }
}

fn quoted_element(text: &str) -> String {
    let special = |symbol: char| matches!(symbol, '{' | '}' | ',' | '"' | '\\') || symbol.is_ascii_whitespace();
    if text.is_empty() || text.eq_ignore_ascii_case("null") || text.contains(special) {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(oid: u32, bytes: &[u8]) -> (String, ValueForm) {
        let value = WireValue::new(bytes, true, BINARY, Some(oid));
        (value.text.unwrap(), value.form)
    }

    #[test]
    fn an_unknown_type_and_bytes_that_do_not_fit_their_type_are_hexadecimal() {
        assert_eq!(shown(999_999, &[1, 0xab]), ("01ab".to_owned(), ValueForm::Hex));
        assert_eq!(shown(23, &[0, 1]), ("0001".to_owned(), ValueForm::Hex));
        let unknown = WireValue::new(&[0, 7], true, BINARY, None);
        assert_eq!((unknown.text.as_deref(), unknown.form), (Some("0007"), ValueForm::Hex));
    }

    #[test]
    fn a_long_value_is_cut_and_says_so() {
        let long = vec![b'x'; SHOWN_VALUE_BYTES + 1];
        let value = WireValue::new(&long, true, 0, None);
        assert!(value.cut);
        assert_eq!(value.text.unwrap().len(), SHOWN_VALUE_BYTES);
        let value = WireValue::new(&long, true, BINARY, Some(17));
        assert_eq!((value.cut, value.form), (true, ValueForm::Hex));
    }

    #[test]
    fn a_value_after_the_kept_bytes_is_missing_and_not_null() {
        let mut reader = WireReader::new(&[0, 0, 0, 2, b'a']);
        let cut = WireValue::read(&mut reader, 0, None);
        assert_eq!((cut.text.as_deref(), cut.cut), (Some("a"), true));
        assert_eq!(WireValue::read(&mut reader, 0, None), WireValue::MISSING);
        let mut reader = WireReader::new(&[0xff; 4]);
        assert_eq!(WireValue::read(&mut reader, 0, None), WireValue::NULL);
    }
}
