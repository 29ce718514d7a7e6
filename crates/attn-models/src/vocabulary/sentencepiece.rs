//! SentencePiece models (Kudo and Richardson 2018): `spiece.model`, `spm.model`, `sentencepiece.bpe.model`, `source.spm`,
//! `tokenizer.model`. Pieces with scores for a unigram model (Kudo 2018) or for byte-pair encoding, and a table by
//! which text is normalized.
//!
//! How a file's ids become the model's, and what is put around a text, is the family's own.

use std::collections::{BTreeMap, HashMap};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Added, Description, Part, Renumbering, Settings, pieces::Model};
use crate::{Error, Result, json::text};

/// The languages of mBART (Liu et al. 2020), and those that mBART-50 (Tang et al. 2020) has more, in the order of their
/// ids.
const LANGUAGES: [&str; 52] = [
    "ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN", "hi_IN", "it_IT", "ja_XX",
    "kk_KZ", "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP", "nl_XX", "ro_RO", "ru_RU", "si_LK", "tr_TR", "vi_VN",
    "zh_CN", "af_ZA", "az_AZ", "bn_IN", "fa_IR", "he_IL", "hr_HR", "id_ID", "ka_GE", "km_KH", "mk_MK", "ml_IN",
    "mn_MN", "mr_IN", "pl_PL", "ps_AF", "pt_XX", "sv_SE", "sw_KE", "ta_IN", "te_IN", "th_TH", "tl_XX", "uk_UA",
    "ur_PK", "xh_ZA", "gl_ES", "sl_SI",
];
/// How many of them are mBART's.
const FIRST_LANGUAGES: usize = 25;

/// What stands before the pieces of fairseq's models, in the place of their first three.
const FAIRSEQ: [(&str, f32); 4] = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)];
/// CamemBERT's, in the place of the first: it has some twice.
const CAMEMBERT: [(&str, f32); 5] = [
    ("<s>NOTUSED", 0.0),
    ("<pad>", 0.0),
    ("</s>NOTUSED", 0.0),
    ("<unk>", 0.0),
    ("<unk>NOTUSED", -100.0),
];

pub(super) fn describe(settings: &Settings<'_>, bytes: &[u8], vocabulary: Option<&[u8]>) -> Result<Description> {
    let model = Model::parse(bytes).ok_or_else(|| settings.broken("not a SentencePiece model"))?;
    match settings.family {
        "albert" => model.albert(settings),
        "deberta-v2" => model.deberta(settings),
        "camembert" | "mbart" | "xlm-roberta" => model.fairseq(settings),
        "llama" | "mistral" => model.llama(settings),
        // NLLB is that network with another tokenizer.
        "m2m_100" => match vocabulary {
            Some(vocabulary) if !settings.class()?.starts_with("Nllb") => model.m2m_100(settings, vocabulary),
            _ => model.fairseq(settings),
        },
        "marian" => model.marian(settings, vocabulary),
        "mt5" | "t5" => model.t5(settings),
        "pegasus" => model.pegasus(settings),
        other => Err(settings.broken(format!(
            "how `{other}` uses a SentencePiece model is not known: expected tokenizer.json"
        ))),
    }
}

impl Model {
    /// The position of the piece for what is unknown.
    pub(super) fn unknown(&self, settings: &Settings<'_>) -> Result<usize> {
        let unknown = self.pieces.iter().position(|piece| piece.kind == 2);
        unknown.ok_or_else(|| settings.broken("expected a piece for unknown characters"))
    }

    /// Pieces the model calls symbols, found in a text before anything else.
    pub(super) fn symbols(&self) -> impl Iterator<Item = Added> {
        let symbols = self.pieces.iter().filter(|piece| piece.kind == 3 || piece.kind == 4);
        symbols.map(|piece| Added {
            content: piece.text.clone(),
            left: false,
            special: piece.kind == 3,
        })
    }

    /// The table, then runs of spaces as one.
    pub(super) fn normalizer(&self) -> Value {
        let mut steps = self.tabled();
        steps.push(json!({"type": "Strip", "strip_left": false, "strip_right": true}));
        steps.push(json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}));
        json!({"type": "Sequence", "normalizers": steps})
    }

    pub(super) fn tabled(&self) -> Vec<Value> {
        if self.table.is_empty() {
            Vec::new()
        } else {
            vec![json!({"type": "Precompiled", "precompiled_charsmap": STANDARD.encode(&self.table)})]
        }
    }

    /// A description of a vocabulary in the order of the model's ids: unigram or, in the families that have such models,
    /// byte pairs.
    pub(super) fn spaced(
        &self,
        settings: &Settings<'_>,
        (vocabulary, unknown): (&[(String, f32)], usize),
        normalizer: Value,
        (single, pair): (&[Part<'_>], &[Part<'_>]),
        added: Vec<Added>,
    ) -> Result<Value> {
        if self.pairs && settings.family != "m2m_100" {
            return Err(settings.broken("a model of byte pairs: this family has a unigram model"));
        }
        let ids = ids(vocabulary);
        let model = if self.pairs {
            json!({"type": "BPE", "dropout": null, "unk_token": vocabulary[unknown].0,
                "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true,
                "byte_fallback": self.byte_fallback, "vocab": ids, "merges": merges(vocabulary, &ids)})
        } else {
            json!({"type": "Unigram", "unk_id": unknown, "vocab": vocabulary, "byte_fallback": self.byte_fallback})
        };
        let legacy = settings.options.flag_or("legacy", true)?;
        let scheme = match (self.prefix, legacy) {
            (false, _) => "never",
            (true, true) => "always",
            (true, false) => "first",
        };
        let space = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": true});
        let added: Vec<_> = added
            .into_iter()
            .filter_map(|token| ids.get(token.content.as_str()).map(|&id| (token, id)))
            .collect();
        settings.description(
            model,
            normalizer,
            space.clone(),
            settings.template(single, pair, |token| ids.get(token).copied())?,
            space,
            &added,
        )
    }

    pub(super) fn scored(&self) -> Vec<(String, f32)> {
        self.pieces
            .iter()
            .map(|piece| (piece.text.clone(), piece.score))
            .collect()
    }

    fn albert(&self, settings: &Settings<'_>) -> Result<Description> {
        let quote = |from: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": "\""});
        let mut steps = vec![quote("``"), quote("''")];
        if !settings.options.flag_or("keep_accents", false)? {
            steps.extend([json!({"type": "NFKD"}), json!({"type": "StripAccents"})]);
        }
        if settings.options.flag_or("do_lower_case", true)? {
            steps.push(json!({"type": "Lowercase"}));
        }
        steps.extend(self.tabled());
        steps.push(json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}));
        let (first, last) = (
            settings.spelling("cls_token", "[CLS]"),
            settings.spelling("sep_token", "[SEP]"),
        );
        let mut added: Vec<Added> = [("unk_token", "<unk>"), ("pad_token", "<pad>")]
            .map(|(role, default)| Added::special(settings.spelling(role, default)))
            .into();
        added.extend([&first, &last].map(Added::special));
        added.extend(self.symbols());
        added.push(settings.mask("[MASK]"));
        let json = self.spaced(
            settings,
            (&self.scored(), self.unknown(settings)?),
            json!({"type": "Sequence", "normalizers": steps}),
            (
                &[(&first, 0), ("A", 0), (&last, 0)],
                &[(&first, 0), ("A", 0), (&last, 0), ("B", 1), (&last, 1)],
            ),
            added,
        )?;
        Ok(Description {
            json,
            renumbering: None,
        })
    }

    /// Families trained with fairseq, whose ids begin with four of its own.
    fn fairseq(&self, settings: &Settings<'_>) -> Result<Description> {
        let (own, from) = if settings.family == "camembert" {
            (&CAMEMBERT[..], 1)
        } else {
            (&FAIRSEQ[..], 3)
        };
        let pieces = self.scored().into_iter().skip(from);
        let own = own.iter().map(|&(text, score)| (text.to_owned(), score));
        let mut vocabulary: Vec<(String, f32)> = own.chain(pieces).collect();
        // mBART-50 and NLLB have the language before a text, mBART behind it.
        let (languages, default, before) = match settings.family {
            "mbart" if settings.class()?.starts_with("MBart50") => (known(&LANGUAGES), "en_XX", true),
            "mbart" => (known(&LANGUAGES[..FIRST_LANGUAGES]), "en_XX", false),
            "m2m_100" => {
                let languages = settings.more_special()?;
                let languages = languages.ok_or_else(|| {
                    settings.broken("expected the languages as `additional_special_tokens` of tokenizer_config.json")
                })?;
                (
                    languages,
                    "eng_Latn",
                    !settings.options.flag_or("legacy_behaviour", false)?,
                )
            }
            _ => (Vec::new(), "", false),
        };
        let mask = settings.mask("<mask>");
        let more: Vec<String> = languages.iter().chain([&mask.content]).cloned().collect();
        vocabulary.extend(
            settings
                .in_order(more, vocabulary.len())?
                .into_iter()
                .map(|token| (token, 0.0)),
        );
        let mut added: Vec<Added> = ["<s>", "<pad>", "</s>", "<unk>"].map(Added::special).into();
        added.extend(languages.iter().map(Added::special));
        added.push(mask);
        let language = settings.options.text("src_lang")?.unwrap_or(default);
        let (single, pair): (&[Part<'_>], &[Part<'_>]) = match (languages.is_empty(), before) {
            (true, _) => (
                &[("<s>", 0), ("A", 0), ("</s>", 0)],
                &[("<s>", 0), ("A", 0), ("</s>", 0), ("</s>", 0), ("B", 0), ("</s>", 0)],
            ),
            (false, true) => (
                &[(language, 0), ("A", 0), ("</s>", 0)],
                &[(language, 0), ("A", 0), ("B", 0), ("</s>", 0)],
            ),
            (false, false) => (
                &[("A", 0), ("</s>", 0), (language, 0)],
                &[("A", 0), ("B", 0), ("</s>", 0), (language, 0)],
            ),
        };
        let json = self.spaced(settings, (&vocabulary, 3), self.normalizer(), (single, pair), added)?;
        Ok(Description {
            json,
            renumbering: None,
        })
    }

    /// The pieces' ids are in `vocab.json`; languages follow them.
    fn m2m_100(&self, settings: &Settings<'_>, vocabulary: &[u8]) -> Result<Description> {
        let mut known = ids_of(settings, vocabulary)?;
        let unknown = settings.spelling("unk_token", "<unk>");
        let unknown = *known
            .get(&unknown)
            .ok_or_else(|| settings.broken(format!("special token `{unknown}` is not in vocab.json")))?;
        let languages = settings.more_special()?.ok_or_else(|| {
            settings.broken("expected the languages as `additional_special_tokens` of special_tokens_map.json")
        })?;
        let mut pieces = self.scored();
        let first = known.len();
        for (language, id) in languages.iter().zip(first..) {
            pieces.push((language.clone(), 0.0));
            known
                .entry(language.clone())
                .or_insert(u32::try_from(id).unwrap_or(unknown));
        }
        let language = settings.options.text("src_lang")?.unwrap_or("en");
        let (language, end) = (format!("__{language}__"), settings.spelling("eos_token", "</s>"));
        let mut added: Vec<Added> = self.symbols().chain(languages.iter().map(Added::special)).collect();
        added.push(Added::special(end.clone()));
        let json = self.spaced(
            settings,
            (&pieces, self.unknown(settings)?),
            self.normalizer(),
            (
                &[(&language, 0), ("A", 0), (&end, 0)],
                &[(&language, 0), ("A", 0), ("B", 0), (&end, 0)],
            ),
            added,
        )?;
        let to_model = pieces
            .iter()
            .map(|(piece, _)| known.get(piece).copied().unwrap_or(unknown));
        let renumbering = Renumbering::new(to_model.collect(), known.clone(), unknown);
        Ok(Description {
            json,
            renumbering: Some(renumbering),
        })
    }

    pub(super) fn t5(&self, settings: &Settings<'_>) -> Result<Description> {
        let mut vocabulary = self.scored();
        let extra = match settings.options.get("extra_ids").and_then(Value::as_u64) {
            Some(0) => 0,
            _ => settings.options.size_or("extra_ids", 100)?.min(1 << 16),
        };
        let extra: Vec<String> = (0..extra).rev().map(|id| format!("<extra_id_{id}>")).collect();
        let mut added: Vec<Added> = self.symbols().chain(extra.iter().map(Added::special)).collect();
        added.push(Added::special(settings.spelling("unk_token", "<unk>")));
        vocabulary.extend(extra.into_iter().map(|token| (token, 0.0)));
        let (begin, end) = (
            settings.spelling("bos_token", "<s>"),
            settings.spelling("eos_token", "</s>"),
        );
        // XLM-RoBERTa has such a list in a GGUF file.
        let (single, pair): (&[Part<'_>], &[Part<'_>]) = match settings.options.flag_or("add_bos_token", false)? {
            true => {
                let mask = added.iter_mut().find(|token| token.content == "<mask>");
                mask.into_iter().for_each(|mask| mask.left = true);
                (
                    &[(&begin, 0), ("A", 0), (&end, 0)],
                    &[(&begin, 0), ("A", 0), (&end, 0), (&end, 0), ("B", 0), (&end, 0)],
                )
            }
            false => (&[("A", 0), (&end, 0)], &[("A", 0), (&end, 0), ("B", 0), (&end, 0)]),
        };
        let unknown = self.unknown(settings)?;
        let json = self.spaced(
            settings,
            (&vocabulary, unknown),
            self.normalizer(),
            (single, pair),
            added,
        )?;
        Ok(Description {
            json,
            renumbering: None,
        })
    }

    /// Two SentencePiece models share one `vocab.json`, whose ids are the model's.
    fn marian(&self, settings: &Settings<'_>, vocabulary: Option<&[u8]>) -> Result<Description> {
        if settings.options.flag_or("separate_vocabs", false)? {
            return Err(settings
                .options
                .unsupported("separate_vocabs", "false: one vocab.json for both languages"));
        }
        let vocabulary = vocabulary.ok_or_else(|| settings.broken("expected vocab.json beside it"))?;
        let path = settings.path.with_file_name(super::VOCAB);
        let known: BTreeMap<String, u32> =
            serde_json::from_str(&text(vocabulary, &path)?).map_err(|error| Error::json(path, &error))?;
        let unknown = settings.spelling("unk_token", "<unk>");
        let unknown = *known
            .get(&unknown)
            .ok_or_else(|| settings.broken(format!("special token `{unknown}` is not in vocab.json")))?;
        let end = settings.spelling("eos_token", "</s>");
        // Tokens that tell the target language are in `vocab.json` alone.
        let mut pieces = self.scored();
        let languages = known
            .keys()
            .filter(|token| token.starts_with(">>") && token.ends_with("<<"));
        let languages: Vec<String> = languages.cloned().collect();
        pieces.extend(languages.iter().map(|token| (token.clone(), 0.0)));
        if pieces.iter().all(|(piece, _)| *piece != end) {
            pieces.push((end.clone(), 0.0));
        }
        let mut added: Vec<Added> = self.symbols().chain(languages.iter().map(Added::special)).collect();
        added.push(Added::special(end.clone()));
        let json = self.spaced(
            settings,
            (&pieces, self.unknown(settings)?),
            self.normalizer(),
            (&[("A", 0), (&end, 0)], &[("A", 0), ("B", 0), (&end, 0)]),
            added,
        )?;
        let to_model = pieces
            .iter()
            .map(|(piece, _)| known.get(piece).copied().unwrap_or(unknown));
        let renumbering = Renumbering::new(to_model.collect(), known.clone(), unknown);
        Ok(Description {
            json,
            renumbering: Some(renumbering),
        })
    }

    /// Byte pairs with single bytes for what is unknown.
    pub(super) fn llama(&self, settings: &Settings<'_>) -> Result<Description> {
        if !self.pairs {
            return Err(settings.broken("a unigram model: this family has byte pairs"));
        }
        let scored = self.scored();
        let ids = ids(&scored);
        let merges = merges(&scored, &ids);
        let unknown = &self.pieces[self.unknown(settings)?].text;
        let (begin, end) = (
            settings.spelling("bos_token", "<s>"),
            settings.spelling("eos_token", "</s>"),
        );
        let mut single: Vec<Part<'_>> = vec![("A", 0)];
        let mut pair: Vec<Part<'_>> = vec![("A", 0), ("B", 1)];
        if settings.options.flag_or("add_bos_token", true)? {
            single.insert(0, (&begin, 0));
            pair.insert(1, (&begin, 1));
            pair.insert(0, (&begin, 0));
        }
        if settings.options.flag_or("add_eos_token", false)? {
            single.push((&end, 0));
            let second = pair.iter().position(|part| part.1 == 1).unwrap_or(pair.len());
            pair.insert(second, (&end, 0));
            pair.push((&end, 1));
        }
        let added: Vec<_> = self
            .symbols()
            .chain([Added::special(unknown.clone())])
            .filter_map(|token| ids.get(token.content.as_str()).map(|&id| (token, id)))
            .collect();
        let mut steps = vec![json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"})];
        if self.prefix {
            steps.insert(0, json!({"type": "Prepend", "prepend": "▁"}));
        }
        let mut back = vec![
            json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if self.prefix {
            back.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        let json = settings.description(
            json!({"type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": self.byte_fallback,
                "vocab": ids, "merges": merges}),
            json!({"type": "Sequence", "normalizers": steps}),
            Value::Null,
            settings.template(&single, &pair, |token| ids.get(token).copied())?,
            json!({"type": "Sequence", "decoders": back}),
            &added,
        )?;
        Ok(Description {
            json,
            renumbering: None,
        })
    }
}

/// The merges of byte pairs, the likeliest first: their order is that of the scores of what they make.
fn merges<'a>(vocabulary: &'a [(String, f32)], ids: &HashMap<&str, u32>) -> Vec<[&'a str; 2]> {
    let mut merges: Vec<(f32, [&str; 2])> = Vec::new();
    for (piece, score) in vocabulary {
        let halves = piece.char_indices().skip(1).map(|(at, _)| piece.split_at(at));
        let mut known: Vec<_> = halves
            .filter_map(|(left, right)| Some((ids.get(left)?, ids.get(right)?, [left, right])))
            .collect();
        known.sort_unstable();
        merges.extend(known.into_iter().map(|(.., halves)| (*score, halves)));
    }
    // Stable: what has one score stays in the vocabulary's order.
    merges.sort_by(|a, b| b.0.total_cmp(&a.0));
    merges.into_iter().map(|(_, halves)| halves).collect()
}

/// The ids in the `vocab.json` beside a model.
fn ids_of(settings: &Settings<'_>, vocabulary: &[u8]) -> Result<BTreeMap<String, u32>> {
    let path = settings.path.with_file_name(super::VOCAB);
    serde_json::from_str(&text(vocabulary, &path)?).map_err(|error| Error::json(&path, &error))
}

fn known(codes: &[&str]) -> Vec<String> {
    codes.iter().map(|&code| code.to_owned()).collect()
}

/// Ids by token.
fn ids(vocabulary: &[(String, f32)]) -> HashMap<&str, u32> {
    vocabulary
        .iter()
        .zip(0..)
        .map(|((token, _), id)| (token.as_str(), id))
        .collect()
}
