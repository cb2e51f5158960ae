//! Reads the parts of a message: integers, texts that end with a zero byte, and counted bytes.

/// A position in the kept bytes of a message. Every read is `None` once the bytes are too few.
#[derive(Debug, Clone, Copy)]
pub struct WireReader<'a> {
    rest: &'a [u8],
}

impl<'a> WireReader<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(head)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A text up to its zero byte; `None` if the zero byte is not there.
    pub fn text(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|byte| *byte == 0)?;
        let text = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Some(text)
    }

    /// A text up to its zero byte, or up to the end of a cut message. The second value tells whether it is whole.
    pub fn text_or_rest(&mut self) -> (&'a [u8], bool) {
        match self.text() {
            Some(text) => (text, true),
            None => (self.rest(), false),
        }
    }

    /// A name, which PostgreSQL keeps below 64 bytes.
    pub fn name(&mut self) -> Option<String> {
        self.text().map(|text| String::from_utf8_lossy(text).into_owned())
    }
}

/// A text of the wire, up to a limit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptText {
    /// The text, or its beginning. Bytes that are no UTF-8 are replaced.
    pub text: String,
    /// Whether the text goes on.
    pub cut: bool,
}

impl KeptText {
    /// A text, or the beginning of one; the tail of a cut text that is no whole character is dropped.
    pub(crate) fn new(bytes: &[u8], whole: bool) -> Self {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(error) if !whole && error.error_len().is_none() => {
                String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned()
            }
            Err(_) => String::from_utf8_lossy(bytes).into_owned(),
        };
        Self { text, cut: !whole }
    }

    /// The first bytes of a text up to a limit.
    pub(crate) fn first(bytes: &[u8], limit: usize, whole: bool) -> Self {
        Self::new(&bytes[..bytes.len().min(limit)], whole && bytes.len() <= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_text_ends_with_a_whole_character() {
        let euro = "a€".as_bytes();
        assert_eq!(KeptText::new(&euro[..3], false), KeptText { text: "a".to_owned(), cut: true });
        assert_eq!(KeptText::first(euro, 3, true), KeptText { text: "a".to_owned(), cut: true });
        assert_eq!(KeptText::first(euro, 4, true), KeptText { text: "a€".to_owned(), cut: false });
        assert_eq!(KeptText::new(b"a\xff", true).text, "a\u{fffd}");
    }

    #[test]
    fn reads_end_with_the_bytes() {
        let mut reader = WireReader::new(b"ab\0\0\x01\x02");
        assert_eq!(reader.text(), Some(b"ab".as_slice()));
        assert_eq!(reader.u16(), Some(1));
        assert_eq!(reader.i32(), None);
        assert_eq!(reader.text(), None);
        assert_eq!(reader.text_or_rest(), (b"\x02".as_slice(), false));
    }
}
