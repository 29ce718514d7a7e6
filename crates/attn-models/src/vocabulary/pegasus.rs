//! SentencePiece models of Pegasus (`spiece.model`), as the reference converts them (transformers 4.57,
//! `PegasusConverter`).
//!
//! In front of the pieces, whose first two are left out, stand padding, end, the two masks of the pre-training and 101 tokens
//! without a use: `<unk_2>` to `<unk_102>`.

use serde_json::json;

use super::{Added, Description, Settings, pieces::Model};
use crate::Result;

/// By how much an id exceeds that of its piece.
const OFFSET: usize = 103;
/// Fewest with room for the four tokens in front.
const FEWEST: usize = 4;
/// Largest that a file may ask for.
const MOST: usize = 1 << 16;
/// Pieces of the model that others stand in for.
const REPLACED: usize = 2;

impl Model {
    pub(super) fn pegasus(&self, settings: &Settings<'_>) -> Result<Description> {
        let offset = settings.options.size_or("offset", OFFSET)?;
        if !(FEWEST..=MOST).contains(&offset) {
            let expected = format!("{FEWEST} to {MOST}");
            return Err(settings.options.unsupported("offset", expected));
        }
        if settings.options.is_null("mask_token_sent") {
            return Err(settings.options.unsupported("mask_token_sent", "a token"));
        }
        let unknown = self.unknown(settings)?;
        if unknown < REPLACED {
            return Err(settings.broken("expected padding and end in front of the piece for unknown characters"));
        }
        let end = settings.spelling("eos_token", "</s>");
        let mut front = vec![settings.spelling("pad_token", "<pad>"), end.clone()];
        front.push(settings.spelling("mask_token_sent", "<mask_1>"));
        front.push(settings.spelling("mask_token", "<mask_2>"));
        let unused = (2..offset).map(|at| format!("<unk_{at}>"));
        let mut added: Vec<Added> = self.symbols().collect();
        added.extend(front.iter().cloned().chain(unused.clone()).map(Added::special));
        added.push(Added::special(settings.spelling("unk_token", "<unk>")));
        let front = front.into_iter().map(|token| (token, 0.0));
        let front = front.chain(unused.map(|token| (token, -100.0)));
        let vocabulary: Vec<_> = front.chain(self.scored().into_iter().skip(REPLACED)).collect();
        let mut json = self.spaced(
            settings,
            (&vocabulary, unknown + offset),
            self.normalizer(),
            (&[("A", 0), (&end, 0)], &[("A", 0), ("B", 0), (&end, 0)]),
            added,
        )?;
        let words = json!({"type": "WhitespaceSplit"});
        json["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [words, json["pre_tokenizer"]]});
        Ok(Description {
            json,
            renumbering: None,
        })
    }
}
