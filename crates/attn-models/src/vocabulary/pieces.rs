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
    /// The compiled table of normalisation; empty if there is none.
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
        let sound = model.pieces.iter().all(sound);
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
