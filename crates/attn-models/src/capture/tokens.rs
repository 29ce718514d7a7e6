//! Tokens of lines and images.

use attn_core::{Token, text::Note};

use crate::{Error, Result, model::Vision, tokenizer::Encoded};

/// The tokens of a text; `None` if it has none: nothing but white space, or what the tokenizer removes.
pub(super) fn some(encoded: Result<Encoded>, line: usize) -> Result<Option<Encoded>> {
    match encoded {
        Err(Error::Empty { .. }) => Ok(None),
        other => other.map(Some).map_err(|error| error.at_line(&format!("line {line}"))),
    }
}

pub(super) fn without_tokens(line: usize) -> Note {
    Note {
        line: Some(line),
        message: "a text without tokens was left out".to_owned(),
    }
}

/// The ids of tokens.
pub(super) fn ids(tokens: &[Token]) -> Vec<u32> {
    tokens.iter().filter_map(|token| token.id).collect()
}

/// The class token and its like, then the patches row by row.
pub(super) fn patch_tokens(vision: &Vision) -> Vec<Token> {
    let special = (0..vision.special).map(|at| Token {
        text: if at == 0 { "[CLS]".to_owned() } else { format!("[{at}]") },
        special: true,
        ..Token::default()
    });
    let patches = (0..vision.rows).flat_map(|row| (0..vision.columns).map(move |column| (row, column)));
    let patches = patches.map(|(row, column)| Token {
        text: format!("{row},{column}"),
        patch: Some((row, column)),
        ..Token::default()
    });
    special
        .chain(patches)
        .enumerate()
        .map(|(position, token)| Token { position, ..token })
        .collect()
}
