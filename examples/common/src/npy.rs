//! Arrays of `.npy` files, as NumPy writes them (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).
//!
//! The headers are read here rather than by a parser of Python literals, whose time grows exponentially with brackets.

use std::{error::Error, fs::File, io::Read, path::Path};

use attn_sdk::core::files;
use half::f16;
use ndarray::{Array2, ShapeBuilder};

const MAGIC: &[u8] = b"\x93NUMPY";
/// Most bytes of a header; that of an array of numbers has about 100.
const MAX_HEADER: usize = 1 << 16;
/// Numbers that are read at a time.
const PIECE: usize = 1 << 16;

/// What a header says.
#[derive(Debug, PartialEq)]
struct Header {
    /// Whether the first byte of a number is its lowest.
    little: bool,
    /// The kind and size of a number: `f4`.
    kind: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

/// Reads a two-dimensional array of numbers as float32. Floats of 16 and 64 bits and integers are converted, either byte
/// order and either order of rows and columns is read.
pub(crate) fn read(path: &Path) -> Result<Array2<f32>, Box<dyn Error>> {
    let place = path.display();
    let mut file = files::open(path)?;
    let length = file.metadata()?.len();
    let header = header(&mut file, length).map_err(|message| format!("{place}: {message}"))?;
    let Header { kind, shape, .. } = &header;
    let &[rows, columns] = &shape[..] else {
        let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
        let found = format!("{} dimensions [{}]", shape.len(), sizes.join(", "));
        let hint = match shape.len() {
            1 => "; `X[:, None]` makes a column of it",
            _ => "; `X.reshape(len(X), -1)` makes rows of it",
        };
        return Err(format!("{place}: expected an array [point, dimension], found {found}{hint}").into());
    };
    let (size, convert) = converter(kind, header.little)
        .ok_or_else(|| format!("{place}: expected floats or integers, found numbers of type `{kind}`"))?;
    // What the file holds is known before anything is allocated by what the header says.
    let bytes = rows.checked_mul(columns).and_then(|count| count.checked_mul(size));
    let left = length.saturating_sub(std::io::Seek::stream_position(&mut file)?);
    let count = match bytes {
        Some(bytes) if bytes as u64 <= left => bytes / size,
        _ => {
            let expected = format!("{rows} x {columns} numbers of {size} bytes");
            return Err(format!("{place}: expected {expected}, found {left} bytes").into());
        }
    };
    let mut values = Vec::with_capacity(count);
    let mut piece = vec![0; PIECE * size];
    while values.len() < count {
        let part = &mut piece[..(count - values.len()).min(PIECE) * size];
        file.read_exact(part).map_err(|error| format!("{place}: {error}"))?;
        for number in part.chunks_exact(size) {
            let value = convert(number);
            let single = value as f32;
            if value.is_finite() && !single.is_finite() {
                return Err(format!("{place}: {value} is too large for float32").into());
            }
            values.push(single);
        }
    }
    let shape = (rows, columns).set_f(header.fortran_order);
    let array = Array2::from_shape_vec(shape, values)?;
    // Row by row, as everything that follows expects it.
    Ok(array.as_standard_layout().into_owned())
}

/// The bytes of a number of this kind, and what reads them. Whole numbers beyond 2^53 are rounded.
fn converter(kind: &str, little: bool) -> Option<(usize, Box<dyn Fn(&[u8]) -> f64>)> {
    macro_rules! number {
        ($size:literal, $type:ty, $value:expr) => {{
            let value: fn($type) -> f64 = $value;
            let read = move |bytes: &[u8]| {
                let mut own = [0_u8; $size];
                own.copy_from_slice(bytes);
                if !little {
                    own.reverse();
                }
                value(<$type>::from_le_bytes(own))
            };
            Some(($size, Box::new(read) as Box<dyn Fn(&[u8]) -> f64>))
        }};
    }
    match kind {
        "f2" => number!(2, f16, f16::to_f64),
        "f4" => number!(4, f32, f64::from),
        "f8" => number!(8, f64, |value| value),
        "i1" => number!(1, i8, f64::from),
        "i2" => number!(2, i16, f64::from),
        "i4" => number!(4, i32, f64::from),
        "i8" => number!(8, i64, |value| value as f64),
        "u1" | "b1" => number!(1, u8, f64::from),
        "u2" => number!(2, u16, f64::from),
        "u4" => number!(4, u32, f64::from),
        "u8" => number!(8, u64, |value| value as f64),
        _ => None,
    }
}

/// Reads the header; the file then stands at the first number.
fn header(file: &mut File, length: u64) -> Result<Header, String> {
    let mut take = |count: usize| -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; count];
        let cut = |_| format!("expected a .npy file, found one that ends within its header ({length} bytes)");
        file.read_exact(&mut bytes).map_err(cut)?;
        Ok(bytes)
    };
    let start = take(8.min(usize::try_from(length).unwrap_or(8)))?;
    if !start.starts_with(MAGIC) || start.len() < 8 {
        return Err(match &start[..] {
            [b'P', b'K', 3, 4, ..] => {
                "expected a .npy file, found a zip archive (.npz); save one array with numpy.save"
            }
            _ => "expected a .npy file, as numpy.save writes it; this one begins otherwise",
        }
        .to_owned());
    }
    let size = match start[6] {
        1 => take(2)?,
        2 | 3 => take(4)?,
        other => return Err(format!("expected version 1, 2 or 3 of .npy, found {other}")),
    };
    let size = size
        .iter()
        .rev()
        .fold(0_usize, |size, &byte| size << 8 | usize::from(byte));
    if size > MAX_HEADER || size as u64 > length {
        return Err(format!(
            "expected a header of at most {MAX_HEADER} bytes within the file, found {size}"
        ));
    }
    let text = String::from_utf8_lossy(&take(size)?).into_owned();
    let shown: String = text.trim().chars().take(120).collect();
    parse(&text).ok_or_else(|| format!("expected type, order and shape of an array of numbers, found `{shown}`"))
}

/// The three entries of a header: `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
fn parse(text: &str) -> Option<Header> {
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim_start();
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        let value = after.trim_start().strip_prefix(':')?.trim_start();
        rest = match key {
            "descr" => {
                let (value, rest) = quoted(value)?;
                descr = Some(value);
                rest
            }
            "fortran_order" => {
                let word = value.split(|c: char| !c.is_ascii_alphabetic()).next()?;
                fortran_order = Some(match word {
                    "True" => true,
                    "False" => false,
                    _ => return None,
                });
                &value[word.len()..]
            }
            "shape" => {
                let (sizes, rest) = value.strip_prefix('(')?.split_once(')')?;
                let sizes = sizes.split(',').map(str::trim).filter(|size| !size.is_empty());
                shape = Some(
                    sizes
                        .map(|size| size.trim_end_matches('L').parse().ok())
                        .collect::<Option<_>>()?,
                );
                rest
            }
            _ => return None,
        };
        rest = rest.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    let descr = descr?;
    let kind = descr.strip_prefix(['<', '>', '|', '=']).unwrap_or(descr);
    Some(Header {
        little: !descr.starts_with('>'),
        kind: kind.to_owned(),
        fortran_order: fortran_order?,
        shape: shape?,
    })
}

/// A text in quotes at the start, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| ['\'', '"'].contains(quote))?;
    text[1..].split_once(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of version 1 with this header.
    fn file(header: &str, data: &[u8]) -> tempfile::NamedTempFile {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    fn array(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Result<Array2<f32>, String> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}   \n");
        read(file(&header, data).path()).map_err(|error| error.to_string())
    }

    #[test]
    fn all_numbers_and_orders_are_read() {
        let expected = ndarray::array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
        macro_rules! bytes {
            ($type:ty, $to:ident) => {
                [1, 2, 3, 4, 5, 6]
                    .iter()
                    .flat_map(|&n: &u8| <$type>::from(n).$to())
                    .collect::<Vec<u8>>()
            };
        }
        for (descr, data) in [
            ("<f4", bytes!(f32, to_le_bytes)),
            (">f4", bytes!(f32, to_be_bytes)),
            ("<f8", bytes!(f64, to_le_bytes)),
            (">f8", bytes!(f64, to_be_bytes)),
            ("<f2", bytes!(f16, to_le_bytes)),
            ("<i8", bytes!(i64, to_le_bytes)),
            (">i4", bytes!(i32, to_be_bytes)),
            ("<u2", bytes!(u16, to_le_bytes)),
            ("|u1", vec![1, 2, 3, 4, 5, 6]),
        ] {
            assert_eq!(array(descr, "False", "(2, 3)", &data).unwrap(), expected, "{descr}");
            // The same numbers column by column.
            let turned = array(descr, "True", "(3, 2)", &data).unwrap();
            assert_eq!(turned, expected.t(), "{descr}");
            assert!(turned.is_standard_layout());
        }
        assert_eq!(array("<f4", "False", "(0, 6)", &[]).unwrap().dim(), (0, 6));
        let negative = array("<i2", "False", "(1, 1)", &(-7_i16).to_le_bytes());
        assert_eq!(negative.unwrap()[[0, 0]], -7.0);
    }

    #[test]
    fn what_cannot_be_read_is_said_plainly() {
        let message = |descr: &str, shape: &str| array(descr, "False", shape, &[0; 24]).unwrap_err();
        assert!(message("<f4", "(6,)")
            .contains("expected an array [point, dimension], found 1 dimensions [6]; `X[:, None]`"));
        assert!(message("<f4", "(1, 2, 3)").contains("found 3 dimensions [1, 2, 3]; `X.reshape(len(X), -1)`"));
        assert!(message("|O", "(2, 3)").contains("expected floats or integers, found numbers of type `O`"));
        assert!(message("<c8", "(1, 3)").contains("found numbers of type `c8`"));
        // Sizes are compared with the file before they are allocated.
        for shape in ["(3, 3)", "(1000000000, 4)", "(9223372036854775807, 4)"] {
            assert!(
                message("<f4", shape).ends_with("numbers of 4 bytes, found 24 bytes"),
                "{shape}"
            );
        }
        assert!(message("<f4", "(99999999999999999999999, 4)").contains("expected type, order and shape"));
        let huge = array("<f8", "False", "(1, 1)", &1e300_f64.to_le_bytes()).unwrap_err();
        assert!(huge.contains("is too large for float32"), "{huge}");
        let text = |bytes: &[u8]| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            read(file.path()).unwrap_err().to_string()
        };
        assert!(text(b"PK\x03\x04....").contains("found a zip archive (.npz)"));
        assert!(text(b"1.0,2.0\n3.0,4.0\n").contains("this one begins otherwise"));
        assert!(text(b"").contains("this one begins otherwise"));
        assert!(text(b"\x93NUMPY\x01\x00\xff\xff{").contains("found 65535"));
        assert!(text(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{").contains("found 4294967295"));
    }

    #[test]
    fn brackets_within_brackets_take_no_time() {
        let header = "{".repeat(60_000);
        let message = read(file(&header, &[]).path()).unwrap_err().to_string();
        assert!(message.contains("expected type, order and shape of an array of numbers, found `{{{"));
        for header in [
            "",
            "{}",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '<f4'}",
        ] {
            assert_eq!(parse(header), None, "{header}");
        }
    }
}
