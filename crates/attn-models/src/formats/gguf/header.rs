//! The header of a GGUF file: what is said about the model, and where its tensors lie.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Lists (of a hundred thousand tokens) are walked
//! over when the file is opened and read when they are asked for, so that a header takes no more memory than the names in
//! it.

use std::{collections::BTreeMap, ops::Range, path::Path};

use candle_core::quantized::GgmlDType;
use safetensors::Dtype;

use crate::{
    Error, Result,
    error::{SHORT, excerpt},
    formats::blocks::Block,
    tensor_file::Element,
};

/// Where tensors begin if the file does not say otherwise: at a multiple of so many bytes.
const ALIGNMENT: usize = 32;
/// GGML's most dimensions of a tensor.
const MOST_SIDES: u32 = 4;

/// What is said under one key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    Integer(i128),
    Number(f64),
    Flag(bool),
    Text(String),
    /// The kind of the values, how many there are, and where they lie.
    List(u32, usize, Range<usize>),
}

/// One tensor, as the file has it: the last side is the one whose elements lie beside each other.
#[derive(Debug)]
pub(super) struct Stored {
    /// The file that it is in, of several: counted from 0.
    pub(super) part: usize,
    pub(super) element: Element,
    pub(super) shape: Vec<usize>,
    pub(super) place: Range<usize>,
}

#[derive(Debug)]
pub(super) struct Header {
    pub(super) said: BTreeMap<String, Said>,
    pub(super) tensors: BTreeMap<String, Stored>,
}

/// The error of a damaged file.
pub(super) fn broken(path: &Path, message: impl Into<String>) -> Error {
    Error::Weights {
        path: path.to_owned(),
        format: "GGUF",
        message: message.into(),
    }
}

impl Header {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// [`Error::Weights`] for a damaged file, [`Error::Tensor`] for a quantization that is not read.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader { bytes, at: 0 };
        let (said, described) = reader.header().map_err(|message| {
            let at = reader.at;
            broken(path, format!("byte {at}: {message}"))
        })?;
        let alignment = match said.get("general.alignment") {
            None => Some(ALIGNMENT),
            Some(Said::Integer(bytes)) => usize::try_from(*bytes).ok().filter(|bytes| bytes.is_power_of_two()),
            Some(_) => None,
        };
        let first = alignment.and_then(|alignment| reader.at.checked_next_multiple_of(alignment));
        let first = first.ok_or_else(|| broken(path, "`general.alignment`: expected a power of two"))?;
        let mut tensors = BTreeMap::new();
        for described in described {
            let name = described.name.clone();
            let stored = described.place(path, first, bytes.len())?;
            if tensors.insert(name.clone(), stored).is_some() {
                return Err(broken(path, format!("two tensors `{}`", excerpt(&name, SHORT))));
            }
        }
        Ok(Self { said, tensors })
    }

    /// A text, if it is said.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.said.get(key)? {
            Said::Text(text) => Some(text),
            _ => None,
        }
    }

    /// An integer, if it is said.
    pub(super) fn integer(&self, key: &str) -> Option<i128> {
        match self.said.get(key)? {
            Said::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// A number, if it is said.
    pub(super) fn number(&self, key: &str) -> Option<f64> {
        match self.said.get(key)? {
            Said::Number(number) => Some(*number),
            Said::Integer(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// A truth value, if it is said.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        match self.said.get(key)? {
            Said::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// A list of texts; `None` if there is no such list.
    pub(super) fn texts(&self, key: &str, bytes: &[u8]) -> Option<Vec<String>> {
        self.list(key, bytes, |said| match said {
            Said::Text(text) => Some(text),
            _ => None,
        })
    }

    /// A list of numbers; `None` if there is no such list.
    pub(super) fn numbers(&self, key: &str, bytes: &[u8]) -> Option<Vec<f64>> {
        self.list(key, bytes, |said| match said {
            Said::Number(number) => Some(number),
            Said::Integer(number) => Some(number as f64),
            _ => None,
        })
    }

    fn list<T>(&self, key: &str, bytes: &[u8], read: impl Fn(Said) -> Option<T>) -> Option<Vec<T>> {
        let Said::List(kind, count, place) = self.said.get(key)? else {
            return None;
        };
        let mut reader = Reader {
            bytes: bytes.get(..place.end)?,
            at: place.start,
        };
        (0..*count).map(|_| read(reader.value(*kind).ok()?)).collect()
    }
}

/// A tensor as the header describes it.
struct Described {
    name: String,
    shape: Vec<usize>,
    kind: u32,
    offset: u64,
}

impl Described {
    fn place(self, path: &Path, first: usize, length: usize) -> Result<Stored> {
        let refuse = |expected: String, found: String| Error::Tensor {
            path: path.to_owned(),
            tensor: excerpt(&self.name, SHORT),
            expected,
            found,
        };
        let Some((element, numbers, size)) = element(self.kind) else {
            let expected = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q8_K or MXFP4".to_owned();
            return Err(refuse(expected, quantization(self.kind)));
        };
        let row = self.shape.last().copied().unwrap_or(1);
        if !row.is_multiple_of(numbers) {
            return Err(refuse(
                format!("rows of whole blocks of {numbers} ({element})"),
                format!("{:?}", self.shape),
            ));
        }
        let place = || {
            let count = self
                .shape
                .iter()
                .try_fold(1_usize, |count, &side| count.checked_mul(side))?;
            let start = first.checked_add(usize::try_from(self.offset).ok()?)?;
            let end = start.checked_add((count / numbers).checked_mul(size)?)?;
            (end <= length).then_some(start..end)
        };
        let place = place().ok_or_else(|| {
            let cut = "the file is damaged or was not downloaded to its end";
            refuse(
                format!("a place within the {length} bytes of the file"),
                format!("shape {:?} from byte {} on: {cut}", self.shape, self.offset),
            )
        })?;
        Ok(Stored {
            part: 0,
            element,
            shape: self.shape,
            place,
        })
    }
}

/// The elements of a type of GGML, how many are a block, and the bytes of a block.
fn element(kind: u32) -> Option<(Element, usize, usize)> {
    let plain = |dtype, size| Some((Element::Plain(dtype), 1, size));
    let blocks = |block: Block| {
        let (numbers, size) = block.size();
        Some((Element::Block(block), numbers, size))
    };
    let block = |kind| blocks(Block::Ggml(kind));
    match kind {
        0 => plain(Dtype::F32, 4),
        1 => plain(Dtype::F16, 2),
        2 => block(GgmlDType::Q4_0),
        3 => block(GgmlDType::Q4_1),
        6 => block(GgmlDType::Q5_0),
        7 => block(GgmlDType::Q5_1),
        8 => block(GgmlDType::Q8_0),
        10 => block(GgmlDType::Q2K),
        11 => block(GgmlDType::Q3K),
        12 => block(GgmlDType::Q4K),
        13 => block(GgmlDType::Q5K),
        14 => block(GgmlDType::Q6K),
        15 => block(GgmlDType::Q8K),
        24 => plain(Dtype::I8, 1),
        25 => plain(Dtype::I16, 2),
        26 => plain(Dtype::I32, 4),
        27 => plain(Dtype::I64, 8),
        28 => plain(Dtype::F64, 8),
        30 => plain(Dtype::BF16, 2),
        39 => blocks(Block::Mxfp4),
        _ => None,
    }
}

/// The names of the types that are not read.
fn quantization(kind: u32) -> String {
    let name = match kind {
        9 => "Q8_1",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        40 => "NVFP4",
        other => return format!("type {other} of GGML"),
    };
    name.to_owned()
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn header(&mut self) -> Result<(BTreeMap<String, Said>, Vec<Described>), String> {
        if self.take(4)? != b"GGUF" {
            return Err("expected the letters GGUF".to_owned());
        }
        match self.word()? {
            2 | 3 => {}
            version if version.swap_bytes() <= 3 => {
                return Err("numbers with the high byte first: expected the low one".to_owned());
            }
            version => return Err(format!("version {version}: expected 2 or 3")),
        }
        let (tensors, pairs) = (self.long()?, self.long()?);
        let mut said = BTreeMap::new();
        // Nothing is allocated by these counts: each entry is read before there is room for it.
        for _ in 0..pairs {
            let key = self.text()?;
            let kind = self.word()?;
            let value = self.value(kind)?;
            said.insert(key, value);
        }
        let mut described = Vec::new();
        for _ in 0..tensors {
            let name = self.text()?;
            let sides = self.word()?;
            if sides > MOST_SIDES {
                return Err(format!("a tensor of {sides} dimensions: expected at most {MOST_SIDES}"));
            }
            let side = |side: Result<u64, String>| usize::try_from(side?).map_err(|_| "a side too long".to_owned());
            let mut shape = (0..sides)
                .map(|_| side(self.long()))
                .collect::<Result<Vec<_>, String>>()?;
            // The file has the side whose elements lie beside each other first.
            shape.reverse();
            described.push(Described {
                name,
                shape,
                kind: self.word()?,
                offset: self.long()?,
            });
        }
        Ok((said, described))
    }

    fn value(&mut self, kind: u32) -> Result<Said, String> {
        Ok(match kind {
            0 => Said::Integer(u8::from_le_bytes(self.chunk()?).into()),
            1 => Said::Integer(i8::from_le_bytes(self.chunk()?).into()),
            2 => Said::Integer(u16::from_le_bytes(self.chunk()?).into()),
            3 => Said::Integer(i16::from_le_bytes(self.chunk()?).into()),
            4 => Said::Integer(self.word()?.into()),
            5 => Said::Integer(i32::from_le_bytes(self.chunk()?).into()),
            6 => Said::Number(f32::from_le_bytes(self.chunk()?).into()),
            7 => match self.chunk()? {
                [0] => Said::Flag(false),
                [1] => Said::Flag(true),
                [other] => return Err(format!("{other} for true or false")),
            },
            8 => Said::Text(self.text()?),
            9 => {
                let (kind, count) = (self.word()?, self.long()?);
                let count = usize::try_from(count).map_err(|_| "the file is cut")?;
                let start = self.at;
                match kind {
                    // One by one: their lengths differ.
                    8 => {
                        for _ in 0..count {
                            let length = self.long()?;
                            self.take(length)?;
                        }
                    }
                    9 => return Err("a list of lists, which no model has".to_owned()),
                    kind => {
                        let size = match kind {
                            0 | 1 | 7 => 1,
                            2 | 3 => 2,
                            4..=6 => 4,
                            10..=12 => 8,
                            other => return Err(format!("values of unknown kind {other}")),
                        };
                        let length = (count as u64).checked_mul(size).ok_or("the file is cut")?;
                        self.take(length)?;
                    }
                }
                Said::List(kind, count, start..self.at)
            }
            10 => Said::Integer(self.long()?.into()),
            11 => Said::Integer(i64::from_le_bytes(self.chunk()?).into()),
            12 => Said::Number(f64::from_le_bytes(self.chunk()?)),
            other => return Err(format!("a value of unknown kind {other}")),
        })
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], String> {
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| self.at.checked_add(length));
        let bytes = end.and_then(|end| self.bytes.get(self.at..end));
        let bytes = bytes.ok_or("the file is cut")?;
        self.at += bytes.len();
        Ok(bytes)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.take(N as u64)?;
        bytes.try_into().map_err(|_| "the file is cut".to_owned())
    }

    fn word(&mut self) -> Result<u32, String> {
        self.chunk().map(u32::from_le_bytes)
    }

    fn long(&mut self) -> Result<u64, String> {
        self.chunk().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<String, String> {
        let length = self.long()?;
        let bytes = self.take(length)?;
        // Some programs write C's closing zero.
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        String::from_utf8(bytes[..end].to_vec()).map_err(|_| "a text that is not UTF-8".to_owned())
    }
}
