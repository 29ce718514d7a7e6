//! Examples in a Parquet file (<https://parquet.apache.org/docs/file-format/>), read as the same rows in JSON lines would be.

use std::{path::Path, sync::Arc};

use attn_core::{
    files,
    text::{Dataset, Note, TextFormat, TextParams},
    third_party::guard,
};
use parquet::{
    basic::Repetition,
    errors::ParquetError,
    file::reader::{FileReader, SerializedFileReader},
    record::Field,
    schema::types::Type,
};
use serde_json::{Map, Number, Value};

use crate::Error;

/// Reads the columns of texts, numbers and truth values; lists, groups and bytes that are no text are left out, with a note.
///
/// The number of a line is that of the row, from 1. A number that is none (NaN, infinity) is no value, as in JSON.
///
/// # Errors
/// [`attn_core::Error::Io`]; [`attn_core::Error::Text`] for a file that is no Parquet, is damaged, or is compressed in a way that is
/// not built in; [`attn_core::Error::TooLarge`] if its rows take more than [`TextParams::max_bytes`].
pub(super) fn read(path: &Path, params: &TextParams) -> Result<Dataset, Error> {
    let place = path.display().to_string();
    let file = files::open(path)?;
    // What the library does not expect of a damaged file may make it panic; it owns all that it changes.
    let rows = guard("parquet", || rows(file, &place, params.max_bytes));
    let (content, notes) = rows.unwrap_or_else(|panic| Err(damaged(&place, panic)))?;
    let as_lines = TextParams {
        format: Some(TextFormat::JsonLines),
        ..params.clone()
    };
    let mut data = Dataset::parse(&content, path, &as_lines)?;
    data.notes.extend(notes);
    Ok(data)
}

fn damaged(place: &str, found: impl std::fmt::Display) -> Error {
    let found = found.to_string();
    attn_core::Error::Text {
        place: place.to_owned(),
        line: None,
        expected: "a whole Parquet file, plain or compressed by Snappy or Zstandard".to_owned(),
        found,
    }
    .into()
}

/// The rows as JSON lines.
fn rows(file: std::fs::File, place: &str, most: u64) -> Result<(Vec<u8>, Vec<Note>), Error> {
    let wrong = |error: ParquetError| damaged(place, error);
    let reader = SerializedFileReader::new(file).map_err(wrong)?;
    let schema = reader.metadata().file_metadata().schema();
    let plain = |field: &Arc<Type>| {
        let info = field.get_basic_info();
        field.is_primitive() && !(info.has_repetition() && info.repetition() == Repetition::REPEATED)
    };
    let (columns, nested): (Vec<Arc<Type>>, Vec<Arc<Type>>) = schema.get_fields().iter().cloned().partition(plain);
    let note = |what: &str, name: &str| Note {
        line: None,
        message: format!("{what} in `{name}` were left out"),
    };
    let mut notes: Vec<Note> = nested
        .iter()
        .map(|field| note("lists and objects", field.name()))
        .collect();
    if columns.is_empty() {
        return Err(damaged(place, "no column of texts or numbers"));
    }
    // What is left out is not read: images take most of a file.
    let projection = Type::group_type_builder(schema.name()).with_fields(columns).build();
    let mut content = Vec::new();
    let mut bytes = std::collections::BTreeSet::new();
    for row in reader.get_row_iter(Some(projection.map_err(wrong)?)).map_err(wrong)? {
        let row = row.map_err(wrong)?;
        let mut object = Map::new();
        for (name, field) in row.get_column_iter() {
            match value(field) {
                Some(value) => _ = object.insert(name.clone(), value),
                None => _ = bytes.insert(name.clone()),
            }
        }
        serde_json::to_writer(&mut content, &object).map_err(|error| damaged(place, error))?;
        content.push(b'\n');
        if content.len() as u64 > most {
            return Err(attn_core::Error::TooLarge {
                place: place.to_owned(),
                what: "bytes of its rows as text",
                limit: most,
            }
            .into());
        }
    }
    notes.extend(bytes.iter().map(|name| note("bytes", name)));
    Ok((content, notes))
}

/// A value as JSON; `None` for what has no text.
fn value(field: &Field) -> Option<Value> {
    let number = |value: f64| Number::from_f64(value).map_or(Value::Null, Value::Number);
    Some(match field {
        Field::Null => Value::Null,
        Field::Bool(value) => (*value).into(),
        Field::Byte(value) => (*value).into(),
        Field::Short(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::UByte(value) => (*value).into(),
        Field::UShort(value) => (*value).into(),
        Field::UInt(value) => (*value).into(),
        Field::ULong(value) => (*value).into(),
        // By its own digits: 0.1 stays 0.1.
        Field::Float(value) => value.to_string().parse().map_or(Value::Null, number),
        Field::Float16(value) => number(f64::from(value.to_f32())),
        Field::Double(value) => number(*value),
        Field::Str(text) => text.clone().into(),
        Field::Bytes(bytes) => bytes.as_utf8().ok()?.into(),
        Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => return None,
        // Decimals, dates and times.
        other => other.to_string().into(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use attn_core::text::TextValues;
    use parquet::{
        basic::{Compression, ZstdLevel},
        data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, FloatType, Int64Type},
        file::{properties::WriterProperties, writer::SerializedFileWriter},
        schema::parser::parse_message_type,
    };

    use super::*;

    /// Four rows as the standard library for data sets writes them: ids, texts of which one is missing, labels, numbers, a list.
    fn write(path: &Path, compression: Compression) {
        let schema = "message schema {
            required binary id (UTF8);
            optional binary sentence (UTF8);
            required int64 label;
            required double length;
            required float weight;
            required boolean seen;
            required binary digest;
            optional group scores (LIST) { repeated group list { optional float element; } }
        }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties = WriterProperties::builder().set_compression(compression).build();
        let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties)).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let texts = |texts: &[&str]| texts.iter().map(|&text| ByteArray::from(text)).collect::<Vec<_>>();
        let mut at = 0;
        while let Some(mut column) = group.next_column().unwrap() {
            match at {
                0 => {
                    _ = column
                        .typed::<ByteArrayType>()
                        .write_batch(&texts(&["a", "b", "c", "d"]), None, None)
                        .unwrap()
                }
                1 => {
                    let values = texts(&["One \"line\".", "Two\nlines.", "Drei Z\u{e4}hne."]);
                    let there = [1, 1, 0, 1];
                    column
                        .typed::<ByteArrayType>()
                        .write_batch(&values, Some(&there), None)
                        .unwrap();
                }
                2 => {
                    _ = column
                        .typed::<Int64Type>()
                        .write_batch(&[0, -1, 2, i64::MAX], None, None)
                        .unwrap()
                }
                3 => {
                    _ = column
                        .typed::<DoubleType>()
                        .write_batch(&[0.5, f64::NAN, 1e-9, 3.0], None, None)
                        .unwrap()
                }
                4 => {
                    _ = column
                        .typed::<FloatType>()
                        .write_batch(&[0.1, 1.0, 2.5, -4.0], None, None)
                        .unwrap()
                }
                5 => {
                    _ = column
                        .typed::<BoolType>()
                        .write_batch(&[true, false, true, true], None, None)
                        .unwrap()
                }
                6 => {
                    let bytes: Vec<ByteArray> = (0..4).map(|_| ByteArray::from(vec![0xff_u8, 0x00])).collect();
                    column.typed::<ByteArrayType>().write_batch(&bytes, None, None).unwrap();
                }
                _ => {
                    let levels = [3, 3, 1, 0, 3];
                    let repeated = [0, 1, 0, 0, 0];
                    let values = [0.1, 0.9, 0.3];
                    column
                        .typed::<FloatType>()
                        .write_batch(&values, Some(&levels), Some(&repeated))
                        .unwrap();
                }
            }
            column.close().unwrap();
            at += 1;
        }
        group.close().unwrap();
        writer.close().unwrap();
    }

    #[test]
    fn rows_are_read_as_those_of_json_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("examples.parquet");
        let zstd = Compression::ZSTD(ZstdLevel::default());
        for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, zstd] {
            write(&path, compression);
            let data = read(&path, &TextParams::default()).unwrap();
            let texts: Vec<&str> = data.lines.iter().map(|line| line.text.as_str()).collect();
            assert_eq!(texts, ["One \"line\".", "Two\nlines.", "Drei Z\u{e4}hne."]);
            // The row without a text is left out, and the numbers of the others are those of the file.
            assert_eq!(data.lines.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 2, 4]);
            let values = |name: &str| match &data.column(name).unwrap().values {
                TextValues::Lines(values) => (0..3)
                    .map(|at| values.get(&at).cloned().unwrap_or_default())
                    .collect::<Vec<_>>(),
                TextValues::Words(_) => panic!("{name}"),
            };
            assert_eq!(values("id"), ["a", "b", "d"]);
            assert_eq!(values("label"), ["0", "-1", "9223372036854775807"]);
            assert_eq!(values("length"), ["0.5", "", "3.0"]);
            assert_eq!(values("weight"), ["0.1", "1.0", "-4.0"]);
            assert_eq!(values("seen"), ["true", "false", "true"]);
            let notes: Vec<&str> = data.notes.iter().map(|note| note.message.as_str()).collect();
            for expected in [
                "lists and objects in `scores` were left out",
                "bytes in `digest` were left out",
            ] {
                assert!(notes.contains(&expected), "{notes:?}");
            }
            assert!(data.column("scores").is_none() && data.column("digest").is_none());
        }
    }

    #[test]
    fn damaged_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("examples.parquet");
        write(&path, Compression::SNAPPY);
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 3, 4, 12, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = read(&path, &TextParams::default()).unwrap_err();
            assert!(
                error.to_string().contains("expected a whole Parquet file"),
                "{length}: {error}"
            );
        }
        // A bit anywhere: an error or other values, never a panic.
        for at in (0..whole.len()).step_by(7) {
            let mut other = whole.clone();
            other[at] ^= 0x41;
            std::fs::write(&path, &other).unwrap();
            let _ = read(&path, &TextParams::default());
        }
        std::fs::write(&path, &whole).unwrap();
        let small = TextParams {
            max_bytes: 60,
            ..TextParams::default()
        };
        let error = read(&path, &small).unwrap_err();
        assert!(error.to_string().contains("at most 60 bytes"), "{error}");
        let missing = read(&folder.path().join("none.parquet"), &small);
        assert!(matches!(missing, Err(Error::Core(attn_core::Error::Io { .. }))));
    }
}
