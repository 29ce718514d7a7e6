//! SentencePiece models of DeBERTa-v2 and -v3 (`spm.model`), as the reference converts them (transformers 4.57,
//! `DebertaV2Converter`).
//!
//! The four special tokens are pieces of the model, at its start. The mask is none: its id follows the pieces.

use serde_json::json;

use super::{Added, Description, Settings, pieces::Model};
use crate::Result;

impl Model {
    pub(super) fn deberta(&self, settings: &Settings<'_>) -> Result<Description> {
        let mut steps = Vec::new();
        if settings.options.flag_or("do_lower_case", false)? {
            steps.push(json!({"type": "Lowercase"}));
        }
        steps.push(json!({"type": "Strip", "strip_left": true, "strip_right": true}));
        steps.extend(self.tabled());
        steps.push(json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}));
        let [pad, first, last, unknown, mask] = [
            ("pad_token", "[PAD]"),
            ("cls_token", "[CLS]"),
            ("sep_token", "[SEP]"),
            ("unk_token", "[UNK]"),
            ("mask_token", "[MASK]"),
        ]
        .map(|(role, default)| settings.spelling(role, default));
        let mut vocabulary = self.scored();
        if self.pieces.iter().all(|piece| piece.text != mask) {
            vocabulary.push((mask.clone(), 0.0));
        }
        let special = [&pad, &first, &last, &unknown, &mask].map(Added::special);
        let mut json = self.spaced(
            settings,
            (&vocabulary, self.unknown(settings)?),
            json!({"type": "Sequence", "normalizers": steps}),
            (
                &[(&first, 0), ("A", 0), (&last, 0)],
                &[(&first, 0), ("A", 0), (&last, 0), ("B", 1), (&last, 1)],
            ),
            self.symbols().chain(special).collect(),
        )?;
        if settings.options.flag_or("split_by_punct", false)? {
            let alone = json!({"type": "Punctuation", "behavior": "Isolated"});
            json["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [alone, json["pre_tokenizer"]]});
        }
        Ok(Description {
            json,
            renumbering: None,
        })
    }
}
