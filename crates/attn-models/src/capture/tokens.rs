//! Tokens of lines and images.

use attn_core::{ModelInfo, Token, text::Note};

use crate::{Error, Result, Tokenizer, model::Vision, tokenizer::Encoded};

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

/// The tokens of a text or of a pair, whose spans lie in both texts with a TAB between them.
pub(super) fn encode(tokenizer: &Tokenizer, text: &str, second: Option<&str>, model: &ModelInfo) -> Result<Encoded> {
    let Some(second) = second else {
        return tokenizer.encode(text, model);
    };
    let mut encoded = tokenizer.encode_pair(text, second, model)?;
    let before = text.len() + 1;
    for (token, of) in encoded.tokens.iter_mut().zip(&encoded.texts) {
        if *of == Some(1) {
            token.span = token.span.map(|(from, to)| (from + before, to + before));
        }
    }
    Ok(encoded)
}

/// Which of two texts each token is taken to be of.
pub(super) fn segments(tokens: &[Token]) -> Vec<u32> {
    tokens
        .iter()
        .filter(|token| token.id.is_some())
        .map(|token| token.segment)
        .collect()
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
