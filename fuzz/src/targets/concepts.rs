//! Saved studies of concepts, names of clusters, and lists of words.

use std::sync::{Arc, OnceLock};

use attn_core::{
    Attention, CaptureWriter, ModelInfo, Sequence, Side, Token,
    capture::{CaptureOptions, CapturePlan, Slot},
    model::{AttentionInfo, LayerAttention, Mask},
    text::WordList,
};
use attn_study::attn_analyze::concepts::{ConceptStudy, NamesFile, Pipeline, PipelineParams, Reading, TaggedText};

use crate::mutate::{Form, Seed};

fn pipeline() -> Pipeline {
    let mut params = PipelineParams {
        clusters: Some(2),
        ..PipelineParams::default()
    };
    params.filter.at_least = 1;
    Pipeline::new(params).unwrap()
}

/// A study of two sentences in a model whose states tell nouns from verbs.
fn study() -> &'static [u8] {
    static STUDY: OnceLock<Vec<u8>> = OnceLock::new();
    STUDY.get_or_init(|| {
        let tagged = "cat_N runs_V dog_N sleeps_V\ndog_N runs_V cat_N sleeps_V";
        let text = TaggedText::word_tag(tagged, "example", '_').unwrap();
        let attention = Attention::EncoderSelf;
        let layer = LayerAttention::new(1.0, Mask::Full);
        let model = ModelInfo::new("toy", "bert", 2).with_attention(AttentionInfo::new(attention, 1, 2, vec![layer]));
        let sequences = text.sentences.iter().map(|sentence| Sequence {
            text: Some(sentence.text.clone()),
            encoder: (sentence.words.iter().enumerate())
                .map(|(position, word)| Token {
                    text: word.text.clone(),
                    position,
                    span: Some(word.span),
                    ..Token::default()
                })
                .collect(),
            ..Sequence::default()
        });
        let keep = CaptureOptions {
            hidden: true,
            ..CaptureOptions::default()
        };
        let plan = CapturePlan::new(model, sequences.collect()).with_options(keep);
        let writer = CaptureWriter::in_memory(plan).unwrap();
        for sentence in 0..2 {
            let states = [0.0, 1.0, 9.0, 1.0, 0.1, 1.1, 9.1, 1.1];
            for layer in 0..2 {
                let side = Side::Encoder;
                writer.write(Slot::Hidden { side, layer }, sentence, &states).unwrap();
            }
            writer
                .write_layer(attention, 0, sentence, [&states, &states, &states])
                .unwrap();
        }
        writer.commit(&[0, 1]).unwrap();
        let capture = writer.finish().unwrap();
        let space = pipeline()
            .encode(&Reading::new("toy", Arc::new(text), &capture), &())
            .unwrap();
        let study = pipeline().compare(vec![space.clone(), space], &()).unwrap();
        study.to_json().unwrap()
    })
}

/// A saved study that is read, cut again, compared and written; names; a list of words.
pub(super) fn concepts(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(bytes);
    match choice {
        0 => {
            let Ok(study) = ConceptStudy::from_json(bytes, "concepts.json".as_ref()) else {
                return;
            };
            let _ = study.markdown();
            let _ = study.to_json();
            let pipeline = pipeline();
            let spaces = study.models.iter().map(|space| pipeline.recut(space, None, &()));
            let spaces: Result<Vec<_>, _> = spaces.collect();
            if let Ok(spaces) = spaces {
                let _ = pipeline.compare(spaces, &()).map(|study| study.markdown());
            }
        }
        1 => {
            let _ = NamesFile::read(&text, "names.txt").map(|names| names.len());
        }
        _ => {
            let _ = WordList::read(&text, "words.txt", "list");
        }
    }
}

pub(super) fn all_concepts() -> Vec<Seed> {
    let seed = |choice: u8, form: Form, bytes: &[u8]| Seed {
        choice,
        form,
        bytes: bytes.to_vec(),
    };
    vec![
        seed(0, Form::Json, study()),
        seed(0, Form::Json, study()),
        seed(1, Form::Text, b"0\tpronouns\n\n2\tcolors\nCluster 3: names of cities\n"),
        seed(2, Form::Text, b"# of my own\nParis\tcity\nmay\tmonth\nmay\tverb\n"),
    ]
}
