//! Sequences of tokens: of text or of image patches.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Side;

/// One token or one image patch of a sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Token {
    /// Text for readers: sub-word marks are kept (`##ly`), space marks are not. Patches are named
    /// `row,column`.
    pub text: String,
    /// Id in the vocabulary; `None` for patches.
    pub id: Option<u32>,
    /// Position in the sequence, from 0.
    pub position: usize,
    /// Index of its word, as the tokenizer splits words; `None` for special tokens and patches.
    pub word: Option<usize>,
    /// Its place in the sequence's text: byte offsets, end exclusive.
    pub span: Option<(usize, usize)>,
    /// Whether the model's input format added it (`[CLS]`, `<s>`, the class token).
    pub special: bool,
    /// Row and column of the patch.
    pub patch: Option<(usize, usize)>,
    /// The text of a pair that the model takes it to be of (`token_type_ids`): 0, or 1 for the second.
    pub segment: u32,
}

impl Token {
    /// A token of text without id, span and position.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// Byte offset of its first letter in the sequence's text; `None` without a span. Some tokenizers count the space before
    /// a word as part of its token, so a token belongs to the word in which its first letter lies.
    ///
    /// ```
    /// let token = attn_core::Token { span: Some((3, 7)), ..attn_core::Token::default() };
    /// assert_eq!(token.first_letter("the cat"), Some(4));
    /// ```
    pub fn first_letter(&self, text: &str) -> Option<usize> {
        let (start, end) = self.span?;
        let written = text.get(start..end).unwrap_or_default();
        Some(start + (written.len() - written.trim_start().len()))
    }
}

/// The image that a sequence of patches came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageInfo {
    /// The file, if it came from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<std::path::PathBuf>,
    /// Patches per column: the grid is `rows` x `columns`.
    pub rows: usize,
    /// Patches per row.
    pub columns: usize,
    /// The content of the file, if it came from memory. It is not written to a capture's folder:
    /// [`Capture::add_images`](crate::Capture::add_images) gives it to a capture that was opened.
    #[serde(skip)]
    pub data: Option<ImageData>,
}

/// The content of an image file in memory. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct ImageData(Arc<[u8]>);

impl ImageData {
    /// The content of a file: PNG, JPEG and what else the reader of images takes.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for ImageData {
    fn from(bytes: &[u8]) -> Self {
        Self::new(bytes)
    }
}

impl From<Vec<u8>> for ImageData {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

impl std::fmt::Debug for ImageData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ImageData({} bytes)", self.0.len())
    }
}

/// One line of text, one image, or one source-target pair.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequence {
    /// Its name for users: `line 12`, `cat.png`.
    pub name: String,
    /// The text as it was read, if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A label of the whole sequence, if the data has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The image, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageInfo>,
    /// How many tokens it had before it was cut to the model's longest input; `None` if it was not cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_from: Option<usize>,
    /// The same of the target of an encoder-decoder, as the decoder reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_cut_from: Option<usize>,
    /// Tokens the encoder reads; empty for models without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "columns")]
    pub encoder: Vec<Token>,
    /// Tokens the decoder reads; empty for models without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "columns")]
    pub decoder: Vec<Token>,
}

impl Sequence {
    /// A sequence without tokens.
    ///
    /// ```
    /// use attn_core::{Sequence, Side, Token};
    ///
    /// let sequence = Sequence::new("line 1").with_text("to be").with_tokens(Side::Encoder, [
    ///     Token { special: true, ..Token::new("[CLS]") },
    ///     Token { span: Some((0, 2)), ..Token::new("to") },
    ///     Token { span: Some((3, 5)), ..Token::new("be") },
    /// ]);
    /// assert_eq!(sequence.encoder[2].position, 2);
    /// ```
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// The same sequence with the text that its tokens come from.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// The same sequence with these tokens of one side. Their positions count from 0.
    #[must_use]
    pub fn with_tokens(mut self, side: Side, tokens: impl IntoIterator<Item = Token>) -> Self {
        let tokens = tokens.into_iter().enumerate();
        let tokens = tokens.map(|(position, token)| Token { position, ..token }).collect();
        match side {
            Side::Encoder => self.encoder = tokens,
            Side::Decoder => self.decoder = tokens,
        }
        self
    }

    /// The tokens of one side.
    pub fn tokens(&self, side: Side) -> &[Token] {
        match side {
            Side::Encoder => &self.encoder,
            Side::Decoder => &self.decoder,
        }
    }
}

/// The stored form of tokens, as columns: short, and easy to write from any language.
mod columns {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    use super::Token;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Columns {
        text: Vec<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        id: Vec<Option<u32>>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        word: Vec<Option<usize>>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        span: Vec<Option<(usize, usize)>>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        special: Vec<bool>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        patch: Vec<Option<(usize, usize)>>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        segment: Vec<u32>,
    }

    pub(super) fn serialize<S: Serializer>(tokens: &[Token], serializer: S) -> Result<S::Ok, S::Error> {
        fn column<T: Default + PartialEq>(values: Vec<T>) -> Vec<T> {
            // A column in which nothing is set is left out.
            if values.iter().all(|value| *value == T::default()) {
                Vec::new()
            } else {
                values
            }
        }
        Columns {
            text: tokens.iter().map(|t| t.text.clone()).collect(),
            id: column(tokens.iter().map(|t| t.id).collect()),
            word: column(tokens.iter().map(|t| t.word).collect()),
            span: column(tokens.iter().map(|t| t.span).collect()),
            special: column(tokens.iter().map(|t| t.special).collect()),
            patch: column(tokens.iter().map(|t| t.patch).collect()),
            segment: column(tokens.iter().map(|t| t.segment).collect()),
        }
        .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Token>, D::Error> {
        let columns = Columns::deserialize(deserializer)?;
        let count = columns.text.len();
        let check = |name: &str, len: usize| match len {
            0 => Ok(()),
            _ if len == count => Ok(()),
            _ => Err(D::Error::custom(format!(
                "column `{name}` has {len} entries, column `text` has {count}"
            ))),
        };
        check("id", columns.id.len())?;
        check("word", columns.word.len())?;
        check("span", columns.span.len())?;
        check("special", columns.special.len())?;
        check("patch", columns.patch.len())?;
        check("segment", columns.segment.len())?;
        let tokens = columns.text.into_iter().enumerate().map(|(i, text)| Token {
            text,
            id: columns.id.get(i).copied().flatten(),
            position: i,
            word: columns.word.get(i).copied().flatten(),
            span: columns.span.get(i).copied().flatten(),
            special: columns.special.get(i).copied().unwrap_or_default(),
            patch: columns.patch.get(i).copied().flatten(),
            segment: columns.segment.get(i).copied().unwrap_or_default(),
        });
        Ok(tokens.collect())
    }
}
