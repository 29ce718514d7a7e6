//! Damage: values of JSON, headers of safetensors, fields of tables, or any bytes.

use serde_json::{Map, Value, json};

use crate::Random;

/// What a seed holds, behind its first byte, which says what is in the place of what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Form {
    Json,
    Safetensors,
    Text,
    Bytes,
}

/// An input that is whole.
#[derive(Debug, Clone)]
pub(crate) struct Seed {
    pub(crate) choice: u8,
    pub(crate) form: Form,
    pub(crate) bytes: Vec<u8>,
}

/// Longest input.
const MOST: usize = 1 << 22;

/// The seed with some damage; its first byte is the choice.
pub(crate) fn damaged(seed: &Seed, random: &mut Random) -> Vec<u8> {
    let mut bytes = match seed.form {
        Form::Json if !random.once_in(4) => json_damaged(&seed.bytes, random),
        Form::Safetensors if !random.once_in(4) => header_damaged(&seed.bytes, random),
        form => bytes_damaged(seed.bytes.clone(), form == Form::Text || form == Form::Json, random),
    };
    bytes.truncate(MOST);
    bytes.insert(0, seed.choice);
    bytes
}

fn json_damaged(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice::<Value>(bytes) else {
        return bytes_damaged(bytes.to_vec(), true, random);
    };
    for _ in 0..1 + random.below(4) {
        damage(&mut value, random);
    }
    serde_json::to_vec(&value).unwrap_or_default()
}

/// The length of a header, the header, the data.
fn header_damaged(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return bytes_damaged(bytes.to_vec(), false, random);
    };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let Some((header, data)) = rest.split_at_checked(length) else {
        return bytes_damaged(bytes.to_vec(), false, random);
    };
    let mut data = data.to_vec();
    let header = match random.below(3) {
        // Numbers that nobody computes with: NaN, infinity, what overflows when squared.
        0 => {
            for _ in 0..1 + random.below(8) {
                let odd = [f32::NAN, f32::INFINITY, f32::MAX, -f32::MAX, 1e19, 1e-45, 0.0, -1.0];
                let odd = random.of(&odd).to_le_bytes();
                if let Some(last) = (data.len() / 4).checked_sub(1) {
                    let at = 4 * random.below(last + 1);
                    data[at..at + 4].copy_from_slice(&odd);
                }
            }
            header.to_vec()
        }
        _ => metadata_damaged(header, random),
    };
    let length = if random.once_in(20) {
        random.any()
    } else {
        header.len() as u64
    };
    [&length.to_le_bytes()[..], &header, &data].concat()
}

/// A header, or the JSON in its metadata.
fn metadata_damaged(header: &[u8], random: &mut Random) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice::<Value>(header) else {
        return json_damaged(header, random);
    };
    let metadata = value.get_mut("__metadata__").and_then(Value::as_object_mut);
    match metadata.and_then(|map| map.values_mut().next()) {
        Some(Value::String(text)) if !random.once_in(3) => {
            *text = String::from_utf8_lossy(&json_damaged(text.as_bytes(), random)).into_owned();
            serde_json::to_vec(&value).unwrap_or_default()
        }
        _ => json_damaged(header, random),
    }
}

/// Damages one value somewhere inside.
fn damage(value: &mut Value, random: &mut Random) {
    let deeper = !random.once_in(6);
    match value {
        Value::Object(map) if deeper && !map.is_empty() => {
            let at = random.below(map.len());
            let Some(key) = map.keys().nth(at).cloned() else { return };
            match random.below(12) {
                0 => {
                    map.remove(&key);
                }
                1 => rename(map, &key, random),
                2 => {
                    let other = map.values().nth(random.below(map.len())).cloned().unwrap_or_default();
                    map.insert(key, other);
                }
                _ => {
                    if let Some(inner) = map.get_mut(&key) {
                        damage(inner, random);
                    }
                }
            }
        }
        Value::Array(items) if deeper && !items.is_empty() => {
            let at = random.below(items.len());
            match random.below(8) {
                0 => {
                    items.remove(at);
                }
                1 => items.push(items[at].clone()),
                2 => {
                    let other = random.below(items.len());
                    items.swap(at, other);
                }
                _ => damage(&mut items[at], random),
            }
        }
        other => *other = odd(other, random),
    }
}

fn rename(map: &mut Map<String, Value>, key: &str, random: &mut Random) {
    if let Some(value) = map.remove(key) {
        map.insert(random.of(&WORDS).to_string(), value);
    }
}

/// Texts that mean something to some reader, or to none.
const WORDS: [&str; 16] = [
    "",
    "0",
    "-1",
    "1e999",
    "NaN",
    "\u{0}",
    "é\u{301}",
    "سلام",
    "🙂\u{200d}🙂",
    "../../x",
    "a\nb",
    "text",
    "yarn",
    "encoder_self",
    "F32",
    "####",
];

/// Some value in the place of another.
fn odd(value: &Value, random: &mut Random) -> Value {
    let number = value.as_f64();
    match random.below(22) {
        0 => Value::Null,
        1 => number.map_or(json!(-1), |number| json!(-number)),
        2 => value.as_u64().map_or(json!(7), |size| json!(size.saturating_add(1))),
        3 => value.as_u64().map_or(json!(1), |size| json!(size.saturating_sub(1))),
        4 => value
            .as_u64()
            .map_or(json!(2), |size| json!(size.saturating_mul(1 << 12))),
        5 => json!(number.unwrap_or(0.5) * 1e9),
        6 => json!(u64::MAX),
        7 => json!(i64::MIN),
        8 => json!(1_u64 << 62),
        9 => json!(u32::MAX),
        10 => json!(0),
        11 => json!(1),
        12 => json!(1e-300),
        13 => json!(1e300),
        14 => json!([]),
        15 => json!({}),
        16 => json!([value, value]),
        17 => json!({"a": value}),
        18 => json!(true),
        19 => json!("x".repeat(random.below(300))),
        _ => json!(random.of(&WORDS)),
    }
}

/// Pieces of text that readers look for.
const PIECES: [&str; 20] = [
    "\t",
    "\n",
    "\r\n",
    "\"",
    ",",
    ";",
    "\\",
    "{",
    "]",
    "\u{feff}",
    "\u{a0}",
    "_",
    "# text = ",
    "1-2",
    "NaN",
    "1e999",
    "null",
    "\u{0}",
    "\u{200b}",
    "=|",
];

fn bytes_damaged(mut bytes: Vec<u8>, text: bool, random: &mut Random) -> Vec<u8> {
    for _ in 0..1 + random.below(5) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = random.below(bytes.len());
        let end = (at + 1 + random.below(40)).min(bytes.len());
        match random.below(9) {
            0 => bytes.truncate(at),
            1 => {
                bytes.drain(at..end);
            }
            2 => {
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            3 => bytes[at] ^= 1 << random.below(8),
            4 => bytes[at] = *random.of(&[0, 1, 0x7f, 0x80, 0xff]),
            5 => bytes[at..end].fill(*random.of(&[0, 0xff])),
            _ if text => {
                bytes.splice(at..at, random.of(&PIECES).bytes());
            }
            _ => bytes[at] = random.any() as u8,
        }
    }
    bytes
}
