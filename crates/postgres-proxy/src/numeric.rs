//! The binary format of `numeric`: digits to the base of 10,000, as PostgreSQL stores them.

use std::fmt::Write as _;

use crate::wire::WireReader;

/// The text of a binary numeric; none if the bytes are none.
pub fn numeric_text(bytes: &[u8]) -> Option<String> {
    let mut reader = WireReader::new(bytes);
    let count = usize::from(reader.u16()?);
    let weight = i32::from(reader.u16()?.cast_signed());
    let sign = reader.u16()?;
    let scale = usize::from(reader.u16()?);
    let digits: Vec<u16> = (0..count).map(|_| reader.u16()).collect::<Option<_>>()?;
    if digits.iter().any(|digit| *digit > 9999) || !reader.rest().is_empty() {
        return None;
    }
    let mut text = match sign {
        0x0000 => String::new(),
        0x4000 => "-".to_owned(),
        0xc000 => return Some("NaN".to_owned()),
        0xd000 => return Some("Infinity".to_owned()),
        0xf000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    // The digit at index 0 counts 10,000 to the power of the weight.
    let digit = |power: i32| usize::try_from(weight - power).ok().and_then(|index| digits.get(index)).map_or(0, |d| *d);
    if weight < 0 {
        text.push('0');
    } else {
        let _ = write!(text, "{}", digit(weight));
        for power in (0..weight).rev() {
            let _ = write!(text, "{:04}", digit(power));
        }
    }
    if scale > 0 {
        text.push('.');
        let end = text.len() + scale;
        let mut power = -1;
        while text.len() < end {
            let _ = write!(text, "{:04}", digit(power));
            power -= 1;
        }
        text.truncate(end);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(weight: i16, sign: u16, scale: u16, digits: &[u16]) -> Vec<u8> {
        let count = u16::try_from(digits.len()).unwrap();
        let head = [count, weight.cast_unsigned(), sign, scale];
        head.iter().chain(digits).flat_map(|part| part.to_be_bytes()).collect()
    }

    #[test]
    fn the_weight_places_the_digits_and_the_scale_ends_them() {
        for (bytes, expected) in [
            (encode(0, 0, 0, &[42]), "42"),
            (encode(0, 0x4000, 2, &[1, 5000]), "-1.50"),
            (encode(-2, 0, 6, &[1200]), "0.000012"),
            (encode(2, 0, 0, &[1]), "100000000"),
            (encode(0, 0, 3, &[]), "0.000"),
            (encode(0, 0xc000, 0, &[]), "NaN"),
        ] {
            assert_eq!(numeric_text(&bytes).as_deref(), Some(expected));
        }
        assert_eq!(numeric_text(&encode(0, 0, 0, &[10_000])), None);
        assert_eq!(numeric_text(&[0, 1, 0]), None);
    }
}
