//! The file of a SentencePiece model: a protocol buffer (fields with numbers), of which a few fields are read by hand.
//!
//! The numbers are those of `sentencepiece_model.proto` (Kudo and Richardson 2018).

#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) score: f32,
    /// 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub(super) kind: u64,
}

/// What is read of the file.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) pieces: Vec<Piece>,
    /// Byte-pair encoding; a unigram model otherwise.
    pub(super) pairs: bool,
    pub(super) byte_fallback: bool,
    /// The compiled table of normalization; empty if there is none.
    pub(super) table: Vec<u8>,
    /// Whether a text starts with a space.
    pub(super) prefix: bool,
}

impl Model {
    /// Reads a file; `None` if it is not one, or one of whole words or characters.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut model = Self {
            pieces: Vec::new(),
            pairs: false,
            byte_fallback: false,
            table: Vec::new(),
            prefix: true,
        };
        for field in fields(bytes)? {
            match field {
                (1, Wire::Bytes(piece)) => {
                    let mut read = Piece {
                        text: String::new(),
                        score: 0.0,
                        kind: 1,
                    };
                    for field in fields(piece)? {
                        match field {
                            (1, Wire::Bytes(text)) => read.text = std::str::from_utf8(text).ok()?.to_owned(),
                            (2, Wire::Four(score)) => read.score = f32::from_le_bytes(score),
                            (3, Wire::Number(kind)) => read.kind = kind,
                            _ => {}
                        }
                    }
                    model.pieces.push(read);
                }
                (2, Wire::Bytes(trainer)) => {
                    for field in fields(trainer)? {
                        match field {
                            (3, Wire::Number(kind)) if kind == 1 || kind == 2 => model.pairs = kind == 2,
                            // Words and characters: no checkpoint of these families has them.
                            (3, Wire::Number(_)) => return None,
                            (35, Wire::Number(flag)) => model.byte_fallback = flag != 0,
                            _ => {}
                        }
                    }
                }
                (3, Wire::Bytes(normalizer)) => {
                    for field in fields(normalizer)? {
                        match field {
                            (2, Wire::Bytes(table)) => model.table = table.to_vec(),
                            (3, Wire::Number(flag)) => model.prefix = flag != 0,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        let sound = |piece: &Piece| piece.score.is_finite() && !piece.text.is_empty();
        let sound = model.pieces.iter().all(sound) && (model.table.is_empty() || is_sound(&model.table));
        (sound && !model.pieces.is_empty()).then_some(model)
    }
}

/// The value of a field of a protocol buffer.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Four([u8; 4]),
}

/// The numbered fields of a message; `None` if it is not one.
fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Wire<'_>)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = number(&mut bytes)?;
        let value = match tag & 7 {
            0 => Wire::Number(number(&mut bytes)?),
            1 => {
                // Eight bytes; nothing that is read here is stored so.
                bytes = bytes.get(8..)?;
                continue;
            }
            2 => {
                let length = usize::try_from(number(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Wire::Bytes(value)
            }
            5 => {
                let (value, rest) = bytes.split_first_chunk::<4>()?;
                bytes = rest;
                Wire::Four(*value)
            }
            _ => return None,
        };
        found.push((tag >> 3, value));
    }
    Some(found)
}

/// A number of seven bits a byte, low ones first; the highest bit of a byte says that another follows.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Whether a table of normalization leads nowhere outside itself, which those who follow it take for granted.
///
/// It is the length in bytes of a double-array trie (Aoe 1989, as the library Darts-clone lays it out), the trie in
/// words of four bytes, and the replacements as text, each ended by a 0. The child of a place by a byte is at their
/// exclusive or; a word holds that byte, whether a key ends there and how far on its own children are. Blocks are of
/// 256 words, so that a place inside has all its children inside.
pub(crate) fn is_sound(table: &[u8]) -> bool {
    let Some((length, rest)) = table.split_first_chunk::<4>() else {
        return false;
    };
    let Some((trie, text)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize) else {
        return false;
    };
    let (words, remainder) = trie.as_chunks::<4>();
    let words: Vec<usize> = words.iter().map(|word| u32::from_le_bytes(*word) as usize).collect();
    let (Some(&root), Ok(text)) = (words.first(), std::str::from_utf8(text)) else {
        return false;
    };
    if !remainder.is_empty() || !words.len().is_multiple_of(256) {
        return false;
    }
    let offset = |word: usize| (word >> 10) << ((word & 0x200) >> 6);
    let mut seen = vec![false; words.len()];
    let mut places = vec![offset(root)];
    while let Some(place) = places.pop() {
        match seen.get_mut(place) {
            None => return false,
            Some(seen) if *seen => continue,
            Some(seen) => *seen = true,
        }
        for byte in 1..=255 {
            let child = place ^ byte;
            let word = words[child];
            if word & 0x8000_00ff != byte {
                continue;
            }
            let next = child ^ offset(word);
            let ends_a_key = word & 0x100 != 0;
            let replaced = |word: &usize| text.is_char_boundary(word & 0x7fff_ffff);
            if ends_a_key && !words.get(next).is_some_and(replaced) {
                return false;
            }
            places.push(next);
        }
    }
    true
}
