//! Sentences divided into labeled words: CoNLL-U, CoNLL-U Plus, and lines of `word_tag`.
//!
//! CoNLL-U is the format of Universal Dependencies (<https://universaldependencies.org/format.html>). Models read the
//! sentence's text, not its words, so every word has its place in the text.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{MAX_COLUMNS, lines, too_many_columns, wrong};
use crate::{Error, Result};

/// The fields of a word in CoNLL-U.
const FIELDS: [&str; 10] = [
    "id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc",
];
/// Fields that are no labels of a word: its place, its text, and its heads by their numbers.
const NO_LABELS: [&str; 4] = ["id", "form", "head", "deps"];

/// One word of a [`TaggedSentence`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaggedWord {
    /// Its spelling.
    pub text: String,
    /// Its place in the sentence's text: byte offsets, end exclusive. Words of a contraction that cannot be told apart in the
    /// text (`du` = `de le`) share the contraction's span.
    pub span: (usize, usize),
    /// Its tags, each with its index in [`TaggedText::columns`], in their order. Most words lack most attributes.
    pub tags: Vec<(usize, String)>,
}

impl TaggedWord {
    /// Its tag in a column of [`TaggedText::columns`], the first of several; `None` where the file has none.
    pub fn tag(&self, column: usize) -> Option<&str> {
        self.tags_of(column).next()
    }

    /// All its tags in a column: files may give several (`SEM:name|||SEM:place`).
    pub fn tags_of(&self, column: usize) -> impl Iterator<Item = &str> {
        let own = self.tags.iter().filter(move |(other, _)| *other == column);
        own.map(|(_, tag)| tag.as_str())
    }
}

/// One sentence of a [`TaggedText`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaggedSentence {
    /// The text that a model reads; of a pair of texts both, with a TAB between them.
    pub text: String,
    /// Byte of the text at which the second of a pair begins; `None` for a single text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<usize>,
    /// Line of the file where it begins, from 1.
    pub line: usize,
    /// Comments of the form `# key = value`, without the text.
    pub comments: Vec<(String, String)>,
    /// Its words, in order.
    pub words: Vec<TaggedWord>,
}

impl TaggedSentence {
    /// The text, and the second of a pair.
    ///
    /// ```
    /// use attn_core::text::{TaggedSentence, TaggedText};
    ///
    /// let text = TaggedText::word_tag("a_X b_Y", "example", '_')?;
    /// assert_eq!(text.sentences[0].texts(), ("a b", None));
    /// let pair = TaggedSentence { text: "a\tb".into(), second: Some(2), ..text.sentences[0].clone() };
    /// assert_eq!(pair.texts(), ("a", Some("b")));
    /// # Ok::<(), attn_core::Error>(())
    /// ```
    pub fn texts(&self) -> (&str, Option<&str>) {
        let parts = self
            .second
            .and_then(|at| Some((self.text.get(..at)?, self.text.get(at..)?)));
        parts.map_or((&self.text, None), |(first, second)| {
            (first.strip_suffix('\t').unwrap_or(first), Some(second))
        })
    }

    /// The value of a comment, for example of `# sentiment = positive`.
    pub fn comment(&self, key: &str) -> Option<&str> {
        let found = self.comments.iter().find(|(name, _)| name == key)?;
        Some(&found.1)
    }
}

/// Sentences with labels per word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaggedText {
    /// Names of each word's tags.
    pub columns: Vec<String>,
    /// The sentences.
    pub sentences: Vec<TaggedSentence>,
}

impl TaggedText {
    /// Reads CoNLL-U. `place` is its name in errors.
    ///
    /// `columns` names the tags to keep: `lemma`, `upos`, `xpos`, `deprel`, or one attribute as `feats.Number`, `misc.Class`.
    /// Empty nodes (`8.1`) are left out.
    ///
    /// The sentence's text is that of `# text =`, where the words must be found in order; without one it is built from the
    /// words and `SpaceAfter=No`.
    ///
    /// ```
    /// use attn_core::text::TaggedText;
    ///
    /// let file = "# text = Don't go.\n1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_\n1\tDo\tdo\tAUX\t_\t_\t3\taux\t_\t_\n\
    ///     2\tn't\tnot\tPART\t_\t_\t3\tadvmod\t_\t_\n3\tgo\tgo\tVERB\t_\t_\t0\troot\t_\tSpaceAfter=No\n\
    ///     4\t.\t.\tPUNCT\t_\t_\t3\tpunct\t_\t_\n";
    /// let text = TaggedText::conllu(file, "example", &["upos"])?;
    /// let words: Vec<_> = text.sentences[0].words.iter().map(|word| (word.text.as_str(), word.span)).collect();
    /// assert_eq!(words, [("Do", (0, 2)), ("n't", (2, 5)), ("go", (6, 8)), (".", (8, 9))]);
    /// assert_eq!(text.sentences[0].words[1].tag(0), Some("PART"));
    /// # Ok::<(), attn_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Text`] with the line, or without a sentence; [`Error::Parameter`] for an unknown column.
    pub fn conllu(content: &str, place: &str, columns: &[&str]) -> Result<Self> {
        Self::parse(content, place, columns, false)
    }

    /// Reads CoNLL-U, or with `plus` CoNLL-U Plus, whose first line names its fields.
    pub(super) fn parse(content: &str, place: &str, columns: &[&str], plus: bool) -> Result<Self> {
        let content = content.strip_prefix('\u{feff}').unwrap_or(content);
        let layout = Layout::new(content, place, plus)?;
        let mut chosen = Columns::default();
        for (index, name) in columns.iter().enumerate() {
            let (field, attribute) = layout.column(name)?;
            match attribute {
                None => chosen.fields.push((index, field)),
                Some(attribute) => chosen.attributes.entry((field, attribute)).or_default().push(index),
            }
        }
        let mut reader = Conllu {
            place,
            layout: &layout,
            columns: &chosen,
            sentences: Vec::new(),
            open: Open::default(),
        };
        let mut last = 0;
        for (number, line) in (1..).zip(lines::lines(content)) {
            last = number;
            reader.line(number, line)?;
        }
        reader.close(last)?;
        Self::checked(
            columns.iter().map(|&name| name.to_owned()).collect(),
            reader.sentences,
            place,
        )
    }

    /// The names of all columns in which a CoNLL-U file has values, as [`conllu`](Self::conllu) takes them: the fields in their order,
    /// then the attributes of `feats` and `misc` by name.
    ///
    /// ```
    /// use attn_core::text::TaggedText;
    ///
    /// let file = "1\tcats\tcat\tNOUN\t_\tNumber=Plur\t0\troot\t_\tSpaceAfter=No|Class=animal\n";
    /// assert_eq!(TaggedText::conllu_columns(file)?, ["lemma", "upos", "deprel", "feats.Number", "misc.Class"]);
    /// # Ok::<(), attn_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TooLarge`] for more than 4096 attributes.
    pub fn conllu_columns(content: &str) -> Result<Vec<String>> {
        Ok(Self::column_names(content, "CoNLL-U", false)?.0)
    }

    /// The names of all columns with values, of CoNLL-U or with `plus` of CoNLL-U Plus; and the first line with an attribute
    /// without a name, with the attribute.
    pub(super) fn column_names(
        content: &str,
        place: &str,
        plus: bool,
    ) -> Result<(Vec<String>, Option<(usize, String)>)> {
        let layout = Layout::new(content, place, plus)?;
        let mut seen = vec![false; layout.fields.len()];
        let mut attributes = BTreeSet::new();
        let mut nameless = None;
        let numbered = (1..).zip(lines::lines(content));
        for (number, line) in numbered.filter(|(_, line)| !line.starts_with('#')) {
            for ((seen, name), field) in seen.iter_mut().zip(&layout.fields).zip(line.split('\t')) {
                *seen |= !field.is_empty() && field != "_";
                if name == "feats" || name == "misc" {
                    for pair in field.split('|') {
                        match pair.split_once('=') {
                            Some(("", _)) if nameless.is_none() => nameless = Some((number, pair.to_owned())),
                            // How words are spaced is no label.
                            Some(("" | "SpaceAfter", _)) | None => {}
                            Some((key, _)) => _ = attributes.insert(format!("{name}.{key}")),
                        }
                    }
                    if attributes.len() > MAX_COLUMNS {
                        return Err(too_many_columns(place, number));
                    }
                }
            }
        }
        let is_label = |name: &&String| ![&NO_LABELS[..], &["feats", "misc"]].concat().contains(&name.as_str());
        let fields = layout
            .fields
            .iter()
            .zip(seen)
            .filter(|(_, seen)| *seen)
            .map(|(name, _)| name);
        Ok((fields.filter(is_label).cloned().chain(attributes).collect(), nameless))
    }

    /// Reads one sentence per line, words separated by white space, each followed by `separator` and its tag
    /// (`the_DET cat_NOUN`). The last separator of a word counts, so words may contain it. The text is the words with
    /// single spaces.
    ///
    /// # Errors
    /// [`Error::Text`] with the line for a word without a tag, or without a sentence.
    pub fn word_tag(content: &str, place: &str, separator: char) -> Result<Self> {
        let content = content.strip_prefix('\u{feff}').unwrap_or(content);
        let mut sentences = Vec::new();
        let numbered = lines::lines(content).enumerate();
        for (at, line) in numbered.filter(|(_, line)| !line.trim().is_empty()) {
            let mut sentence = TaggedSentence {
                text: String::new(),
                second: None,
                line: at + 1,
                comments: Vec::new(),
                words: Vec::new(),
            };
            for item in line.split_whitespace() {
                let parts = item
                    .rsplit_once(separator)
                    .filter(|(word, tag)| !word.is_empty() && !tag.is_empty());
                let Some((word, tag)) = parts else {
                    return Err(wrong(place, at + 1, format!("word{separator}tag"), format!("`{item}`")));
                };
                if !sentence.text.is_empty() {
                    sentence.text.push(' ');
                }
                let start = sentence.text.len();
                sentence.text += word;
                sentence.words.push(TaggedWord {
                    text: word.to_owned(),
                    span: (start, sentence.text.len()),
                    tags: vec![(0, tag.to_owned())],
                });
            }
            sentences.push(sentence);
        }
        Self::checked(vec!["tag".into()], sentences, place)
    }

    /// The first `count` sentences.
    pub fn truncate(&mut self, count: usize) {
        self.sentences.truncate(count);
    }

    fn checked(columns: Vec<String>, sentences: Vec<TaggedSentence>, place: &str) -> Result<Self> {
        if sentences.is_empty() {
            return Err(wrong(place, None, "at least one sentence", "none"));
        }
        Ok(Self { columns, sentences })
    }
}

/// The fields of a word's line.
struct Layout {
    fields: Vec<String>,
    form: usize,
    misc: Option<usize>,
    plus: bool,
}

impl Layout {
    fn new(content: &str, place: &str, plus: bool) -> Result<Self> {
        if !plus {
            let fields = FIELDS.map(str::to_owned).to_vec();
            return Ok(Self {
                fields,
                form: 1,
                misc: Some(9),
                plus,
            });
        }
        let first = lines::lines(content).next().unwrap_or_default();
        let named = first.strip_prefix('#').and_then(|rest| rest.split_once('='));
        let Some((_, names)) = named.filter(|(key, _)| key.trim() == "global.columns") else {
            let expected = "`# global.columns = ID FORM ...`, as CoNLL-U Plus begins";
            return Err(wrong(
                place,
                1,
                expected,
                format!("`{}`", first.chars().take(40).collect::<String>()),
            ));
        };
        let fields: Vec<String> = names.split_whitespace().map(str::to_lowercase).collect();
        if fields.len() > MAX_COLUMNS {
            return Err(too_many_columns(place, 1));
        }
        let mut known = HashSet::new();
        if let Some(twice) = fields.iter().find(|field| !known.insert(field.as_str())) {
            return Err(wrong(place, 1, "every column once", format!("`{twice}` twice")));
        }
        let at = |name: &str| fields.iter().position(|field| field == name);
        match (at("id"), at("form")) {
            (Some(0), Some(form)) => Ok(Self {
                misc: at("misc"),
                form,
                fields,
                plus,
            }),
            _ => Err(wrong(place, 1, "columns ID (first) and FORM", names.trim())),
        }
    }

    /// The place of a column, by its name: a field, and an attribute within it.
    fn column(&self, name: &str) -> Result<(usize, Option<String>)> {
        let at = |name: &str| self.fields.iter().position(|field| field == name);
        let (field, attribute) = match name.split_once('.') {
            Some((field @ ("feats" | "misc"), attribute)) if !attribute.is_empty() => {
                (at(field), Some(attribute.to_owned()))
            }
            _ if NO_LABELS.contains(&name) || ["feats", "misc"].contains(&name) => (None, None),
            _ => (at(name), None),
        };
        match field {
            Some(field) => Ok((field, attribute)),
            None if self.plus => {
                let expected = format!("one of the file's columns {}", self.fields.join(", "));
                Err(Error::parameter("columns", expected, name))
            }
            None => {
                let expected = "lemma, upos, xpos, deprel, feats.NAME or misc.NAME";
                Err(Error::parameter("columns", expected, name))
            }
        }
    }
}

/// The places of the columns that are kept, with their indices.
#[derive(Default)]
struct Columns {
    fields: Vec<(usize, usize)>,
    /// By field and name of the attribute.
    attributes: HashMap<(usize, String), Vec<usize>>,
}

impl Columns {
    /// The tags of a word, in the order of the columns.
    fn read(&self, fields: &[&str]) -> Vec<(usize, String)> {
        let mut tags: Vec<(usize, String)> = Vec::new();
        for &(index, field) in &self.fields {
            let value = fields.get(field).filter(|value| **value != "_" && !value.is_empty());
            tags.extend(value.map(|value| (index, (*value).to_owned())));
        }
        if !self.attributes.is_empty() {
            for (at, field) in fields.iter().enumerate().filter(|(_, field)| field.contains('=')) {
                for (name, value) in field.split('|').filter_map(|pair| pair.split_once('=')) {
                    let columns = self.attributes.get(&(at, name.to_owned()));
                    tags.extend(columns.into_iter().flatten().map(|&index| (index, value.to_owned())));
                }
            }
        }
        tags.sort_by_key(|&(index, _)| index);
        // Of an attribute that is there twice, the first counts.
        tags.dedup_by_key(|&mut (index, _)| index);
        tags
    }
}

/// The value of one attribute of `A=x|B=y`.
fn value<'a>(field: &'a str, attribute: &str) -> Option<&'a str> {
    field.split('|').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name == attribute).then_some(value)
    })
}

/// A part of the text that is written in one: a word, or a contraction of several.
struct Written {
    line: usize,
    text: String,
    space_after: bool,
    /// Its words: text and tags.
    words: Vec<(String, Vec<(usize, String)>)>,
    /// Id of its last word.
    last: usize,
}

#[derive(Default)]
struct Open {
    line: usize,
    text: Option<String>,
    comments: Vec<(String, String)>,
    written: Vec<Written>,
    words: usize,
}

struct Conllu<'a> {
    place: &'a str,
    layout: &'a Layout,
    columns: &'a Columns,
    sentences: Vec<TaggedSentence>,
    open: Open,
}

impl Conllu<'_> {
    fn wrong(&self, line: usize, expected: impl Into<String>, found: impl Into<String>) -> Error {
        wrong(self.place, line, expected, found)
    }

    fn line(&mut self, number: usize, line: &str) -> Result<()> {
        if line.trim().is_empty() {
            return self.close(number);
        }
        if self.open.line == 0 {
            self.open.line = number;
        }
        if let Some(comment) = line.strip_prefix('#') {
            if let Some((key, value)) = comment.split_once('=') {
                match key.trim() {
                    "global.columns" => {}
                    // Other white space may be part of a word.
                    "text" => self.open.text = Some(value.trim_matches([' ', '\t']).to_owned()),
                    key => self.open.comments.push((key.to_owned(), value.trim().to_owned())),
                }
            }
            return Ok(());
        }
        let fields: Vec<&str> = line.split('\t').collect();
        if fields.len() != self.layout.fields.len() {
            let expected = format!("{} fields separated by tabs", self.layout.fields.len());
            return Err(self.wrong(number, expected, fields.len().to_string()));
        }
        let space_after = self
            .layout
            .misc
            .is_none_or(|misc| value(fields[misc], "SpaceAfter") != Some("No"));
        let form = fields[self.layout.form];
        if fields[0].contains('.') {
            return Ok(());
        }
        if let Some((first, last)) = fields[0].split_once('-') {
            let ids = first.parse::<usize>().ok().zip(last.parse::<usize>().ok());
            let Some((_, last)) = ids.filter(|&(first, last)| first == self.open.words + 1 && last >= first) else {
                let expected = format!("a range that begins with word {}", self.open.words + 1);
                return Err(self.wrong(number, expected, fields[0]));
            };
            self.open.written.push(Written {
                line: number,
                text: form.to_owned(),
                space_after,
                words: Vec::new(),
                last,
            });
            return Ok(());
        }
        if fields[0].parse() != Ok(self.open.words + 1) {
            return Err(self.wrong(
                number,
                format!("word {}", self.open.words + 1),
                format!("`{}`", fields[0]),
            ));
        }
        self.open.words += 1;
        let word = (form.to_owned(), self.columns.read(&fields));
        match self
            .open
            .written
            .last_mut()
            .filter(|written| written.last >= self.open.words)
        {
            Some(contraction) => contraction.words.push(word),
            None => self.open.written.push(Written {
                line: number,
                text: form.to_owned(),
                space_after,
                words: vec![word],
                last: self.open.words,
            }),
        }
        Ok(())
    }

    fn close(&mut self, line: usize) -> Result<()> {
        let open = std::mem::take(&mut self.open);
        if open.written.is_empty() {
            return Ok(());
        }
        if open.written.last().is_some_and(|written| written.last > open.words) {
            return Err(self.wrong(line, "all words of a range", "the end of the sentence"));
        }
        let given = open.text.is_some();
        let spaced = open.written.last().is_some_and(|written| written.space_after);
        let mut text = open.text.unwrap_or_default();
        let mut words = Vec::with_capacity(open.words);
        let mut at = 0;
        for written in open.written {
            let start = if given {
                let Some(space) = space_before(&text[at..], &written.text) else {
                    let rest: String = text[at..].trim_start().chars().take(20).collect();
                    return Err(self.wrong(
                        written.line,
                        format!("`{}` in the sentence's text", written.text),
                        format!("`{rest}`"),
                    ));
                };
                at + space
            } else {
                let start = text.len();
                text += &written.text;
                start
            };
            at = start + written.text.len();
            if !given && written.space_after {
                text.push(' ');
            }
            // A contraction whose words are spelt out in it is cut; otherwise all share its span.
            let spelt = written.words.iter().map(|(word, _)| word.as_str()).collect::<String>() == written.text;
            let mut inside = start;
            for (word, tags) in written.words {
                let span = if spelt {
                    (inside, inside + word.len())
                } else {
                    (start, at)
                };
                inside = span.1;
                words.push(TaggedWord { text: word, span, tags });
            }
        }
        // The space behind the last word; white space within a word is its own.
        if !given && spaced {
            text.pop();
        }
        self.sentences.push(TaggedSentence {
            text,
            second: None,
            line: open.line,
            comments: open.comments,
            words,
        });
        Ok(())
    }
}

/// How much white space stands before a word at the start of a text; `None` if something else does.
fn space_before(text: &str, word: &str) -> Option<usize> {
    let mut rest = text;
    while !rest.starts_with(word) {
        rest = rest.strip_prefix(char::is_whitespace)?;
    }
    Some(text.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "# sent_id = 1\n# text = We can't  sing.\n# sentiment = negative\n\
1\tWe\twe\tPRON\tPRP\tNumber=Plur|Person=1\t4\tnsubj\t_\t_\n\
2-3\tcan't\t_\t_\t_\t_\t_\t_\t_\t_\n\
2\tca\tcan\tAUX\tMD\t_\t4\taux\t_\t_\n\
3\tn't\tnot\tPART\tRB\t_\t4\tadvmod\t_\t_\n\
3.1\tghost\t_\t_\t_\t_\t_\t_\t_\t_\n\
4\tsing\tsing\tVERB\tVB\t_\t0\troot\t_\tSpaceAfter=No\n\
5\t.\t.\tPUNCT\t.\t_\t4\tpunct\t_\t_\n\n\
1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_\n\
1\tde\tde\tADP\t_\t_\t3\tcase\t_\t_\n\
2\tle\tle\tDET\t_\t_\t3\tdet\t_\tClass=x\n\
3\tpain\tpain\tNOUN\t_\t_\t0\troot\t_\tSpaceAfter=No\n\
4\t!\t!\tPUNCT\t_\t_\t3\tpunct\t_\t_\n";

    #[test]
    fn words_stand_where_the_text_has_them() {
        let text = TaggedText::conllu(TWO, "two", &["upos", "feats.Number", "misc.Class"]).unwrap();
        assert_eq!(text.sentences.len(), 2);
        let first = &text.sentences[0];
        let spans: Vec<&str> = first
            .words
            .iter()
            .map(|word| &first.text[word.span.0..word.span.1])
            .collect();
        assert_eq!(
            spans,
            ["We", "ca", "n't", "sing", "."],
            "a contraction that spells out its words is cut"
        );
        assert_eq!(first.comment("sentiment"), Some("negative"));
        assert_eq!(first.words[0].tags, [(0, "PRON".into()), (1, "Plur".into())]);
        assert_eq!([1, 2].map(|column| first.words[0].tag(column)), [Some("Plur"), None]);
        let second = &text.sentences[1];
        assert_eq!((second.text.as_str(), second.line), ("du pain!", 12));
        assert_eq!(second.words[1].span, (0, 2));
        assert_eq!(second.words[1].tag(2), Some("x"));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let line = |content: &str| match TaggedText::conllu(content, "file", &["upos"]) {
            Err(Error::Text { line: Some(line), .. }) => line,
            other => panic!("{other:?}"),
        };
        let word = |id: &str, form: &str| format!("{id}\t{form}\t_\tX\t_\t_\t_\t_\t_\t_\n");
        assert_eq!(line("# a\n1\tWe\tPRON\n"), 2);
        assert_eq!(line(&format!("{}{}", word("1", "a"), word("3", "b"))), 2);
        assert_eq!(line(&format!("# text = a c\n{}{}", word("1", "a"), word("2", "b"))), 3);
        assert_eq!(line(&word("2-3", "ab")), 1);
        assert_eq!(line(&format!("{}{}\n", word("1-2", "ab"), word("1", "a"))), 3);
        assert!(matches!(
            TaggedText::conllu("# only\n", "file", &[]),
            Err(Error::Text { line: None, .. })
        ));
        assert!(matches!(
            TaggedText::conllu(TWO, "file", &["pos"]),
            Err(Error::Parameter { name: "columns", .. })
        ));
        let error = TaggedText::word_tag("the_DET cat\n", "file", '_').unwrap_err();
        assert_eq!(error.to_string(), "file, line 1: expected word_tag, found `cat`");
        let text = TaggedText::word_tag("\nsnake_case_NOUN is_VERB\n", "file", '_').unwrap();
        assert_eq!(
            (text.sentences[0].text.as_str(), text.sentences[0].line),
            ("snake_case is", 2)
        );
        assert_eq!(text.sentences[0].words[0].span, (0, 10));
    }

    #[test]
    fn white_space_at_the_border_of_a_word_is_its_own() {
        let word = |id: usize, form: &str, misc: &str| format!("{id}\t{form}\t_\t_\t_\t_\t_\t_\t_\t{misc}\n");
        let words = |misc| format!("{}{}", word(1, "du", "_"), word(2, "\u{a0}\u{e9}\u{a0}", misc));
        let built = words("_");
        let (unspaced, with_text) = (
            words("SpaceAfter=No"),
            format!("# text = du \u{a0}\u{e9}\u{a0}\n{built}"),
        );
        for content in [&built, &unspaced, &with_text] {
            let text = TaggedText::conllu(content, "file", &[]).unwrap();
            let sentence = &text.sentences[0];
            assert_eq!(sentence.text, "du \u{a0}\u{e9}\u{a0}");
            let parts: Vec<&str> = sentence
                .words
                .iter()
                .map(|word| &sentence.text[word.span.0..word.span.1])
                .collect();
            assert_eq!(parts, ["du", "\u{a0}\u{e9}\u{a0}"]);
        }
        let spaced = format!("# text = du\u{2009} le\n{}{}", word(1, "du", "_"), word(2, "le", "_"));
        assert_eq!(
            TaggedText::conllu(&spaced, "file", &[]).unwrap().sentences[0].words[1].span,
            (6, 8)
        );
    }

    #[test]
    fn plus_files_name_their_fields() {
        let file = "# global.columns = ID FORM LEMMA NER\n# text = Ada wrote\n1\tAda\tAda\tB-PER\n2\twrote\twrite\t_\n";
        let names = TaggedText::column_names(file, "file", true).unwrap();
        assert_eq!(names, (vec!["lemma".to_owned(), "ner".to_owned()], None));
        let text = TaggedText::parse(file, "file", &["ner"], true).unwrap();
        assert_eq!(text.sentences[0].words[0].tag(0), Some("B-PER"));
        assert_eq!(text.sentences[0].words[1].tag(0), None);
        let message = |file: &str| TaggedText::parse(file, "file", &["ner"], true).unwrap_err().to_string();
        assert!(message("1\ta\n").starts_with("file, line 1: expected `# global.columns = ID FORM ...`"));
        assert!(message("# global.columns = FORM NER\n").contains("expected columns ID (first) and FORM"));
        assert!(message("# global.columns = ID FORM\n1\ta\n").contains("one of the file's columns id, form"));
    }
}
