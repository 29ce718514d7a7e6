//! Formats of text files, found by a file's name.

use std::{fmt, path::Path, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{MAX_BYTES, wrong};
use crate::{Error, Result};

/// A format of text files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TextFormat {
    /// A sequence per line.
    Lines,
    /// CoNLL-U: <https://universaldependencies.org/format.html>.
    Conllu,
    /// CoNLL-U Plus, with columns of its own: <https://universaldependencies.org/ext-format.html>.
    ConlluPlus,
    /// A sentence per line, every word followed by a separator and its tag.
    WordTag {
        /// The separator: `_` in `the_DET`.
        separator: char,
    },
    /// A table whose first row names the columns.
    Csv {
        /// The delimiter; `None` finds the one of comma, semicolon, tab and bar that fits the first rows.
        delimiter: Option<char>,
    },
    /// A JSON object per line.
    JsonLines,
    /// A JSON list of objects.
    Json,
}

impl TextFormat {
    /// The format that a file's name stands for: `.txt` and no suffix are lines.
    ///
    /// ```
    /// use attn_core::text::TextFormat;
    ///
    /// assert_eq!(TextFormat::of("a.TSV")?, TextFormat::Csv { delimiter: Some('\t') });
    /// assert!(TextFormat::of("a.docx").is_err());
    /// # Ok::<(), attn_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Text`] for any other suffix.
    pub fn of(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let suffix = path.extension().map(|suffix| suffix.to_string_lossy().to_lowercase());
        Ok(match suffix.as_deref() {
            // A process's open file is named by its number.
            None | Some("txt") => Self::Lines,
            Some("conllu") => Self::Conllu,
            Some("conllup") => Self::ConlluPlus,
            Some("csv") => Self::Csv { delimiter: None },
            Some("tsv" | "tab") => Self::Csv { delimiter: Some('\t') },
            Some("jsonl" | "ndjson") => Self::JsonLines,
            Some("json") => Self::Json,
            Some(other) => {
                return Err(wrong(
                    &path.display().to_string(),
                    None,
                    "a name that ends in .txt, .csv, .tsv, .jsonl, .ndjson, .json, .conllu or .conllup, or a format \
                     given beside it",
                    format!(".{other}"),
                ));
            }
        })
    }
}

impl fmt::Display for TextFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lines => "lines",
            Self::Conllu => "conllu",
            Self::ConlluPlus => "conllup",
            Self::WordTag { .. } => "word-tag",
            Self::Csv { delimiter: Some('\t') } => "tsv",
            Self::Csv { .. } => "csv",
            Self::JsonLines => "jsonl",
            Self::Json => "json",
        })
    }
}

impl FromStr for TextFormat {
    type Err = Error;

    /// The format of a name as [`Display`](fmt::Display) writes it; words and tags are separated by `_`.
    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "lines" => Self::Lines,
            "conllu" => Self::Conllu,
            "conllup" => Self::ConlluPlus,
            "word-tag" => Self::WordTag { separator: '_' },
            "csv" => Self::Csv { delimiter: None },
            "tsv" => Self::Csv { delimiter: Some('\t') },
            "jsonl" => Self::JsonLines,
            "json" => Self::Json,
            other => {
                let expected = "lines, conllu, conllup, word-tag, csv, tsv, jsonl or json";
                return Err(Error::parameter("format", expected, format!("`{other}`")));
            }
        })
    }
}

/// Parameters of reading a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TextParams {
    /// The format. Default: by the file's name ([`TextFormat::of`]).
    pub format: Option<TextFormat>,
    /// Name of the column of a table that holds the text. Default: `text` or `sentence`, in any case.
    pub text_column: Option<String>,
    /// Most bytes that are read. Default: 1 GiB.
    pub max_bytes: u64,
    /// Whether a line of JSON lines that is no object, or is cut off, is left out with a note, as long as one is left. Default: no,
    /// it is an error.
    pub skip_bad_lines: bool,
}

impl Default for TextParams {
    fn default() -> Self {
        Self {
            format: None,
            text_column: None,
            max_bytes: MAX_BYTES,
            skip_bad_lines: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_formats_and_others_are_refused() {
        let csv = |delimiter| TextFormat::Csv { delimiter };
        for (name, format) in [
            ("a", TextFormat::Lines),
            ("a.TXT", TextFormat::Lines),
            ("dir.d/a", TextFormat::Lines),
            ("a.csv", csv(None)),
            ("a.tab", csv(Some('\t'))),
            ("a.ndjson", TextFormat::JsonLines),
            ("a.json", TextFormat::Json),
            ("a.conllu", TextFormat::Conllu),
            ("a.conllup", TextFormat::ConlluPlus),
        ] {
            assert_eq!(TextFormat::of(name).unwrap(), format, "{name}");
            assert_eq!(format.to_string().parse::<TextFormat>().unwrap(), format);
        }
        for name in ["a.parquet", "a.xlsx", "a.csv.gz", "a.md"] {
            let message = TextFormat::of(name).unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("{name}: expected a name that ends in .txt")),
                "{message}"
            );
        }
        assert!("xml".parse::<TextFormat>().is_err());
    }
}
