//! Cuts a stream of bytes into messages, without holding a message.
//!
//! A message is a tag byte, a length of four bytes that counts itself, and a body. The bytes arrive in chunks that know
//! nothing of messages. The splitter reads the bytes and changes none: the caller forwards them as they came. Of a body
//! it keeps only the first bytes, up to a limit for each tag. So a message of any size costs at most that limit.

/// A message that has arrived to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The kind of message.
    pub tag: u8,
    /// The first bytes of the body, up to the limit.
    pub body: &'a [u8],
    /// The length of the whole body.
    pub body_bytes: usize,
}

impl Frame<'_> {
    /// Whether the body goes on after the kept bytes.
    pub fn is_cut(&self) -> bool {
        self.body.len() < self.body_bytes
    }
}

/// One step through a chunk.
#[derive(Debug)]
pub struct SplitStep<'a> {
    /// Bytes of the chunk that belong to the message: up to its end, or the whole chunk.
    pub consumed: usize,
    /// The message, if it ends in this chunk.
    pub frame: Option<Frame<'a>>,
}

/// The length of a message is below 4 or above 2^31 - 1. No later byte of the stream can be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message with the tag byte {tag:#04x} has the length {length}; 4 to 2147483647 are allowed")]
pub struct InvalidLength {
    tag: u8,
    length: u32,
}

/// The tag and the length.
pub const HEADER_BYTES: usize = 5;

/// The state between two chunks.
#[derive(Debug)]
pub struct MessageSplitter {
    /// How many bytes of a body are kept, by its tag.
    limit: fn(u8) -> usize,
    header: [u8; HEADER_BYTES],
    header_len: usize,
    body_bytes: usize,
    missing_bytes: usize,
    kept: Vec<u8>,
}

impl MessageSplitter {
    /// A splitter that stands before the first byte.
    pub fn new(limit: fn(u8) -> usize) -> Self {
        Self { limit, header: [0; HEADER_BYTES], header_len: 0, body_bytes: 0, missing_bytes: 0, kept: Vec::new() }
    }

    /// Whether the next byte begins a message.
    pub fn at_boundary(&self) -> bool {
        self.header_len == 0 || self.is_complete()
    }

    /// The tag of the message whose middle the splitter stands in.
    pub fn unfinished_tag(&self) -> Option<u8> {
        (!self.at_boundary()).then_some(self.header[0])
    }

    /// The message whose middle the splitter stands in, as far as it is kept; none while its length is unknown.
    pub fn unfinished(&self) -> Option<Frame<'_>> {
        let is_known = self.header_len == HEADER_BYTES && self.missing_bytes > 0;
        is_known.then(|| Frame { tag: self.header[0], body: &self.kept, body_bytes: self.body_bytes })
    }

    fn is_complete(&self) -> bool {
        self.header_len == HEADER_BYTES && self.missing_bytes == 0
    }

    /// Goes on to the end of the current message or of the chunk, whichever is first.
    pub fn advance<'a>(&'a mut self, chunk: &'a [u8]) -> Result<SplitStep<'a>, InvalidLength> {
        if self.is_complete() {
            self.header_len = 0;
            self.kept = Vec::new();
        }
        let mut consumed = 0;
        if self.header_len < HEADER_BYTES {
            consumed = (HEADER_BYTES - self.header_len).min(chunk.len());
            self.header[self.header_len..self.header_len + consumed].copy_from_slice(&chunk[..consumed]);
            self.header_len += consumed;
            if self.header_len < HEADER_BYTES {
                return Ok(SplitStep { consumed, frame: None });
            }
            self.begin_body()?;
        }
        let part = &chunk[consumed..consumed + self.missing_bytes.min(chunk.len() - consumed)];
        consumed += part.len();
        self.missing_bytes -= part.len();
        let limit = (self.limit)(self.header[0]);
        let in_one_piece = part.len() == self.body_bytes;
        if !in_one_piece {
            let room = limit.saturating_sub(self.kept.len());
            self.kept.extend_from_slice(&part[..part.len().min(room)]);
        }
        if self.missing_bytes > 0 {
            return Ok(SplitStep { consumed, frame: None });
        }
        let body = if in_one_piece { &part[..part.len().min(limit)] } else { self.kept.as_slice() };
        Ok(SplitStep { consumed, frame: Some(Frame { tag: self.header[0], body, body_bytes: self.body_bytes }) })
    }

    fn begin_body(&mut self) -> Result<(), InvalidLength> {
        let [tag, length @ ..] = self.header;
        let length = u32::from_be_bytes(length);
        if length < 4 || i32::try_from(length).is_err() {
            return Err(InvalidLength { tag, length });
        }
        self.body_bytes = length as usize - 4;
        self.missing_bytes = self.body_bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 10;

    type Seen = (u8, Vec<u8>, usize);

    /// The messages of the chunks, and the bytes that the steps consumed.
    fn split(chunks: &[&[u8]]) -> Result<(Vec<Seen>, Vec<u8>), InvalidLength> {
        let mut splitter = MessageSplitter::new(|tag| if tag == b'd' { 0 } else { LIMIT });
        let (mut seen, mut bytes) = (Vec::new(), Vec::new());
        for chunk in chunks {
            let mut rest = *chunk;
            while !rest.is_empty() {
                let step = splitter.advance(rest)?;
                let consumed = step.consumed;
                if let Some(Frame { tag, body, body_bytes }) = step.frame {
                    seen.push((tag, body.to_vec(), body_bytes));
                }
                bytes.extend_from_slice(&rest[..consumed]);
                rest = &rest[consumed..];
            }
        }
        Ok((seen, bytes))
    }

    fn encode(messages: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (tag, body) in messages {
            bytes.push(*tag);
            bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
            bytes.extend(body);
        }
        bytes
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_messages_and_the_same_bytes(
            messages in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..30)), 0..12),
            tail in prop::collection::vec(any::<u8>(), 0..5),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut bytes = encode(&messages);
            // An unfinished message: at most four of its five header bytes, so its length cannot be invalid.
            bytes.extend(&tail[..tail.len().min(4)]);
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.sort_unstable();
            let mut chunks = Vec::new();
            let mut begin = 0;
            for end in at.into_iter().chain([bytes.len()]) {
                chunks.push(&bytes[begin..end]);
                begin = end;
            }
            let expected: Vec<Seen> = messages
                .iter()
                .map(|(tag, body)| {
                    let limit = if *tag == b'd' { 0 } else { LIMIT };
                    (*tag, body[..body.len().min(limit)].to_vec(), body.len())
                })
                .collect();
            let (seen, out) = split(&chunks).unwrap();
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(out, bytes);
        }

        #[test]
        fn no_bytes_make_it_panic(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let _ = split(&chunks);
        }
    }

    #[test]
    fn a_length_below_four_or_above_two_gibibytes_is_an_error() {
        for length in [0_u32, 3, 0x8000_0000, u32::MAX] {
            let [a, b, c, d] = length.to_be_bytes();
            assert_eq!(split(&[&[b'Q', a, b], &[c, d]]), Err(InvalidLength { tag: b'Q', length }), "{length}");
        }
        assert!(split(&[&[b'Q', 0, 0, 0, 4]]).is_ok());
    }
}
