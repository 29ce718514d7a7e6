//! Tokens of lines and images.

use attn_core::Token;

use crate::{Error, model::Vision};

/// An error about a text, with the line it stands in.
pub(super) fn at_line(error: Error, line: &str) -> Error {
    match error {
        Error::Empty { message, .. } => Error::Empty {
            place: line.to_owned(),
            message,
        },
        other => other,
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
