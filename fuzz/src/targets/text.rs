//! Readers of text: tables, lines, and words with labels.

use attn_core::text::{Dataset, TaggedSentence, TaggedText, TextFormat, TextParams, WordList};

use crate::mutate::{Form, Seed};

/// The formats of tables and lines, by choice.
const TABLES: [&str; 5] = ["x.csv", "x.tsv", "x.jsonl", "x.json", "x.txt"];

/// A table in one of the formats.
pub(super) fn tables(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let path = TABLES[usize::from(*choice) % TABLES.len()];
    let Ok(found) = Dataset::parse(bytes, path, &TextParams::default()) else {
        return;
    };
    for column in &found.columns {
        assert_eq!(
            found.column(&column.name).map(|column| &column.name),
            Some(&column.name)
        );
    }
}

pub(super) fn all_tables() -> Vec<Seed> {
    let texts = [
        (
            0,
            "text,label,score\nTo be,yes,1.5\n\"a \"\"b\"\", c\",no,NaN\n\"two\nlines\",,\n",
        ),
        (0, "sentence;position;n\n1;2;3\nء;4;NA\n"),
        (1, "text\tlabel\nTo be\tyes\nor not\tno\n"),
        (
            2,
            "{\"text\": \"To be\", \"label\": 3, \"tags\": [\"a\", \"b\"]}\n{\"text\": \"or\", \"label\": null}\n",
        ),
        (
            3,
            "[{\"text\": \"To be\", \"deep\": {\"a\": 1}}, {\"text\": \"x\", \"label\": true}]",
        ),
        (4, "\u{feff}To be\r\n\r\nor not\tto be\n\u{200b}\n"),
    ];
    texts
        .map(|(choice, text)| seed(choice, text, if choice == 3 { Form::Json } else { Form::Text }))
        .into()
}

/// Words with labels, in one of the formats; with a column that is asked for.
pub(super) fn conllu(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(bytes);
    let found = match choice % 8 {
        0 => TaggedText::conllu(&text, "x.conllu", &["upos", "lemma"]),
        1 => TaggedText::conllu_columns(&text).and_then(|names| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            TaggedText::conllu(&text, "x.conllu", &names)
        }),
        2 => TaggedText::word_tag(&text, "x.tagged", '_'),
        4 => TaggedText::conll(&text, "x.conll", &[]),
        5 => TaggedText::lists(&text, "x.json", &[("same", &text)]),
        6 => Dataset::parse(bytes, "x.tsv", &TextParams::default()).and_then(|data| {
            let second = data.columns.first().map(|column| (column.name.as_str(), None));
            TaggedText::rows(&data, second)
        }),
        7 => {
            let _ = WordList::read(&text, "x.list", "x");
            return;
        }
        _ => {
            let params = TextParams {
                format: Some(TextFormat::Conllu),
                ..TextParams::default()
            };
            let _ = Dataset::parse(bytes, "x.conllu", &params);
            return;
        }
    };
    let Ok(mut found) = found else { return };
    let same = found.clone();
    let columns = found.columns.len();
    assert!(found.join(same, "again").is_ok() && found.columns.len() == 2 * columns);
    for TaggedSentence { text, words, .. } in &found.sentences {
        for word in words {
            assert!(
                text.get(word.span.0..word.span.1).is_some(),
                "{:?} of {text:?}",
                word.span
            );
            assert!(word.tags.iter().all(|(column, _)| *column < found.columns.len()));
        }
    }
}

pub(super) fn all_conllu() -> Vec<Seed> {
    const TREE: &str = "# sent_id = 1\n# text = du été\n# sentiment = good\n\
        1-2\tdu\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No\n1\tde\tde\tADP\t_\tCase=Gen|Number=Sing\t3\tcase\t_\t_\n\
        2\tle\tle\tDET\t_\tDefinite=Def\t3\tdet\t_\t_\n3\tété\tété\tNOUN\t_\t_\t0\troot\t_\t_\n3.1\tx\t_\t_\t_\t_\t_\t_\t_\t_\n\n\
        # newpar\n1\ta\u{a0}\ta\tX\t_\t_\t0\troot\t_\t_\n\n";
    let texts = [
        (0, TREE),
        (1, TREE),
        (3, TREE),
        (2, "The_DET cat_NOUN sat_VERB ._PUNCT\n\na__b x_\n"),
        (
            4,
            "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG|||B-X\nis VBZ B-VP O\n\nété JJ _ O\n",
        ),
        (5, "[\"The cat|||dog sat\", \"été\"]"),
        (
            6,
            "sentence\tsentence2\tgold_label\nA man (sleeps).\tHe's awake!\tno\n\u{ab}été\u{bb}\t\t-\n",
        ),
        (7, "# own\nNew York\tcity\nmay\tverb\n"),
    ];
    texts.map(|(choice, text)| seed(choice, text, Form::Text)).into()
}

fn seed(choice: u8, text: &str, form: Form) -> Seed {
    Seed {
        choice,
        form,
        bytes: text.as_bytes().to_vec(),
    }
}
