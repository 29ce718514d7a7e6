//! More sources of labeled words: columns of CoNLL, lists of JSON, rows of a table, and several files of one text.

use std::path::Path;

use super::{
    Dataset, MAX_COLUMNS, TaggedSentence, TaggedText, TaggedWord, TextParams, TextValues, lines, too_many_columns,
    wrong,
};
use crate::{Error, Result, files};

/// What separates several labels of one word in one place.
const SEVERAL: &str = "|||";

/// Parameters of [`TaggedText::read`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaggedParams {
    /// Columns of CoNLL-U to keep. Default: `upos` and `deprel`.
    pub columns: Vec<String>,
    /// Separator of word and tag in lines of `word_tag`. Default `_`.
    pub separator: char,
    /// Name of the column of a table that holds the text. Default: `text` or `sentence`.
    pub text_column: Option<String>,
    /// Column of a table with a second text. Alone, the model reads both as a pair; with a text, as one text that has it
    /// between them. Default `None`.
    pub pair: Option<(String, Option<String>)>,
    /// Most bytes that are read of a file. Default: 1 GiB.
    pub max_bytes: u64,
}

impl Default for TaggedParams {
    fn default() -> Self {
        Self {
            columns: vec!["upos".into(), "deprel".into()],
            separator: '_',
            text_column: None,
            pair: None,
            max_bytes: TextParams::default().max_bytes,
        }
    }
}

impl TaggedText {
    /// Reads one or several files about the same sentences. The first gives the sentences, and all give columns.
    ///
    /// | name | read as |
    /// |---|---|
    /// | `.conllu` | [`conllu`](Self::conllu) |
    /// | `.conll`, `.iob`, `.bio`, `.col` | [`conll`](Self::conll) |
    /// | `.tsv`, `.tab`, `.csv`, `.jsonl`, `.ndjson`, `.json` of objects | [`rows`](Self::rows) |
    /// | `.json` of texts | [`lists`](Self::lists): the first file has the sentences, others the labels, under the name of the file |
    /// | any other | [`word_tag`](Self::word_tag) |
    ///
    /// # Errors
    /// Those of the readers; [`Error::Text`] for files about different sentences, [`Error::Parameter`] without a file.
    pub fn read(paths: &[impl AsRef<Path>], params: &TaggedParams) -> Result<Self> {
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let path = path.as_ref();
            let bytes = files::read(path, params.max_bytes)?;
            let place = path.display().to_string();
            lines::utf8(&bytes, &place)?;
            files.push((path, place, bytes));
        }
        let Some(((first, place, bytes), others)) = files.split_first() else {
            return Err(Error::parameter("paths", "at least one file", "none"));
        };
        let is_list = |path: &Path, bytes: &[u8]| {
            let json = path
                .extension()
                .is_some_and(|suffix| suffix.eq_ignore_ascii_case("json"));
            let mut marks = bytes
                .iter()
                .filter(|byte| !byte.is_ascii_whitespace() && byte.is_ascii());
            json && (marks.next(), marks.next()) == (Some(&b'['), Some(&b'"'))
        };
        let (lists, others): (Vec<_>, Vec<_>) = others.iter().partition(|(path, _, bytes)| is_list(path, bytes));
        let mut text = if is_list(first, bytes) {
            let mut contents = Vec::with_capacity(lists.len());
            for (path, place, bytes) in &lists {
                let name = path
                    .file_stem()
                    .map_or(place.clone(), |stem| stem.to_string_lossy().into_owned());
                contents.push((name, lines::utf8(bytes, place)?));
            }
            let labels: Vec<(&str, &str)> = contents
                .iter()
                .map(|(name, content)| (name.as_str(), *content))
                .collect();
            Self::lists(lines::utf8(bytes, place)?, place, &labels)?
        } else if let Some((_, place, _)) = lists.first() {
            return Err(wrong(
                place,
                None,
                "a list of sentences as the first file",
                "a list alone",
            ));
        } else {
            Self::of_file(first, place, bytes, params)?
        };
        for (path, place, bytes) in others {
            text.join(Self::of_file(path, place, bytes, params)?, place)?;
        }
        Ok(text)
    }

    fn of_file(path: &Path, place: &str, bytes: &[u8], params: &TaggedParams) -> Result<Self> {
        let suffix = path.extension().map(|suffix| suffix.to_string_lossy().to_lowercase());
        let content = lines::utf8(bytes, place)?;
        match suffix.as_deref() {
            Some("conllu") => {
                let columns: Vec<&str> = params.columns.iter().map(String::as_str).collect();
                Self::conllu(content, place, &columns)
            }
            Some("conll" | "iob" | "bio" | "col") => Self::conll(content, place, &[]),
            Some("tsv" | "tab" | "csv" | "jsonl" | "ndjson" | "json") => {
                let table = TextParams {
                    text_column: params.text_column.clone(),
                    max_bytes: params.max_bytes,
                    ..TextParams::default()
                };
                let data = Dataset::parse(bytes, path, &table)?;
                let pair = params.pair.as_ref();
                Self::rows(
                    &data,
                    pair.map(|(column, between)| (column.as_str(), between.as_deref())),
                )
            }
            _ => Self::word_tag(content, place, params.separator),
        }
    }

    /// Reads words in columns, one per line, with white space between the columns and an empty line between sentences: CoNLL-2000
    /// (`word pos chunk`), CoNLL-2003 (`word pos chunk ner`) and their like. Lines of `-DOCSTART-` and those of a single `#` comment
    /// are left out. The text is the words with single spaces.
    ///
    /// `names` are those of the columns after the word. Without names, three columns in all are those of CoNLL-2000, four those of
    /// CoNLL-2003, and others are `tag` or `tag1`, `tag2`, ... Several labels of a word are separated by `|||`.
    ///
    /// ```
    /// use attn_core::text::TaggedText;
    ///
    /// let file = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nPeter NNP B-NP B-PER\n";
    /// let text = TaggedText::conll(file, "eng.train", &[])?;
    /// assert_eq!(text.columns, ["pos", "chunk", "ner"]);
    /// assert_eq!((text.sentences.len(), text.sentences[0].text.as_str()), (2, "EU rejects"));
    /// assert_eq!(text.sentences[1].words[0].tag(2), Some("B-PER"));
    /// # Ok::<(), attn_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Text`] with the line that has more or fewer columns than the first, or without a sentence.
    pub fn conll(content: &str, place: &str, names: &[&str]) -> Result<Self> {
        let content = content.strip_prefix('\u{feff}').unwrap_or(content);
        let mut sentences: Vec<TaggedSentence> = Vec::new();
        let (mut width, mut open) = (None, false);
        for (number, line) in (1..).zip(lines::lines(content)) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let Some((word, tags)) = fields.split_first() else {
                open = false;
                continue;
            };
            if *word == "-DOCSTART-" || (*word == "#" && width != Some(fields.len())) {
                continue;
            }
            let expected = *width.get_or_insert(fields.len());
            if expected > MAX_COLUMNS {
                return Err(too_many_columns(place, number));
            }
            if tags.is_empty() || fields.len() != expected {
                let expected = format!("{} columns, a word and its tags", expected.max(2));
                return Err(wrong(place, number, expected, fields.len().to_string()));
            }
            if !open {
                sentences.push(sentence(number));
                open = true;
            }
            if let Some(sentence) = sentences.last_mut() {
                add(sentence, word, tags);
            }
        }
        let columns = columns(width.unwrap_or(1) - 1, names, place)?;
        not_empty(Self { columns, sentences }, place)
    }

    /// Reads a JSON list of sentences, each a text whose words have single spaces between them, and further lists with a label for
    /// every word (the files of ConceptX, `text.in.tok.sent_len.json` and its labels). Each of `labels` is the name of a
    /// column and the content of a file. A word may have several labels, separated by `|||`.
    ///
    /// ```
    /// use attn_core::text::TaggedText;
    ///
    /// let labels = [("sem", r#"["SEM:name|||SEM:place NONE"]"#)];
    /// let text = TaggedText::lists(r#"["Rome burns"]"#, "text.json", &labels)?;
    /// assert_eq!(text.sentences[0].words[0].tags_of(0).collect::<Vec<_>>(), ["SEM:name", "SEM:place"]);
    /// # Ok::<(), attn_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Text`] for what is no list of texts, with the sentence (counted as a line) that has more or fewer labels than words.
    pub fn lists(content: &str, place: &str, labels: &[(&str, &str)]) -> Result<Self> {
        let lists: Vec<(&str, Vec<String>)> = labels
            .iter()
            .map(|&(name, content)| Ok((name, list(content, name)?)))
            .collect::<Result<_>>()?;
        let texts = list(content, place)?;
        for (name, list) in &lists {
            if list.len() != texts.len() {
                let expected = format!("labels of {} sentences", texts.len());
                return Err(wrong(name, None, expected, list.len().to_string()));
            }
        }
        let mut sentences = Vec::with_capacity(texts.len());
        for (at, text) in texts.iter().enumerate() {
            let words: Vec<&str> = text.split_whitespace().collect();
            let mut rows: Vec<Vec<&str>> = vec![Vec::new(); words.len()];
            for (name, list) in &lists {
                let own: Vec<&str> = list[at].split_whitespace().collect();
                if own.len() != words.len() {
                    let expected = format!("{} labels, one for each word", words.len());
                    return Err(wrong(name, at + 1, expected, own.len().to_string()));
                }
                rows.iter_mut().zip(own).for_each(|(row, label)| row.push(label));
            }
            let mut new = sentence(at + 1);
            for (word, tags) in words.into_iter().zip(rows) {
                add(&mut new, word, &tags);
            }
            sentences.push(new);
        }
        let columns = labels.iter().map(|(name, _)| (*name).to_owned()).collect();
        not_empty(Self { columns, sentences }, place)
    }

    /// The rows of a table as sentences: their words are found by white space, with punctuation around a word apart, and every
    /// column of rows becomes a comment (`label`), by which sentences are labeled. SST-2, HateXplain, MNLI.
    ///
    /// `pair` names the column of a second text. The two are a pair ([`TaggedSentence::second`]), which a model reads in its own format,
    /// or one text with something between them. The words of both are words of the sentence.
    ///
    /// ```
    /// use attn_core::text::{Dataset, TaggedText, TextParams};
    ///
    /// let file = b"sentence\tsentence2\tgold_label\nA man sleeps.\tHe is awake!\tcontradiction\n";
    /// let data = Dataset::parse(file, "mnli.tsv", &TextParams::default())?;
    /// let text = TaggedText::rows(&data, Some(("sentence2", None)))?;
    /// let sentence = &text.sentences[0];
    /// assert_eq!(sentence.texts(), ("A man sleeps.", Some("He is awake!")));
    /// assert_eq!(sentence.comment("gold_label"), Some("contradiction"));
    /// let words: Vec<_> = sentence.words.iter().map(|word| word.text.as_str()).collect();
    /// assert_eq!(words, ["A", "man", "sleeps", ".", "He", "is", "awake", "!"]);
    /// let joined = TaggedText::rows(&data, Some(("sentence2", Some("so:"))))?;
    /// assert_eq!(joined.sentences[0].text, "A man sleeps. so: He is awake!");
    /// # Ok::<(), attn_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Parameter`] for a column that is not there, [`Error::Text`] without rows.
    pub fn rows(data: &Dataset, pair: Option<(&str, Option<&str>)>) -> Result<Self> {
        let of_rows = |name: &str| {
            let column = data.columns.iter().find(|column| column.name == name)?;
            match &column.values {
                TextValues::Lines(values) => Some(values),
                TextValues::Words(_) => None,
            }
        };
        let second = match pair {
            None => None,
            Some((name, between)) => Some((
                of_rows(name).ok_or_else(|| {
                    let names = data.columns.iter().map(|column| column.name.as_str());
                    Error::parameter("pair", names.collect::<Vec<_>>().join(", "), name)
                })?,
                between,
            )),
        };
        let mut sentences = Vec::with_capacity(data.lines.len());
        for (at, line) in data.lines.iter().enumerate() {
            let mut new = sentence(line.number);
            new.text.clone_from(&line.text);
            split(&line.text, 0, &mut new.words);
            if let Some((values, between)) = second
                && let Some(value) = values.get(&at)
            {
                match between {
                    Some(between) => new.text += &format!(" {between} "),
                    None => {
                        new.text.push('\t');
                        new.second = Some(new.text.len());
                    }
                }
                split(value, new.text.len(), &mut new.words);
                new.text += value;
            }
            for column in data
                .columns
                .iter()
                .filter(|column| pair.is_none_or(|(name, _)| column.name != name))
            {
                if let TextValues::Lines(values) = &column.values {
                    let value = values.get(&at).map(|value| (column.name.clone(), value.clone()));
                    new.comments.extend(value);
                }
            }
            sentences.push(new);
        }
        let text = Self {
            columns: Vec::new(),
            sentences,
        };
        not_empty(text, &data.place)
    }

    /// Adds the columns of another file about the same text: the same sentences of the same words. A column that both have gets a
    /// number in its name.
    ///
    /// # Errors
    /// [`Error::Text`] with the sentence of `other` that differs; `place` is its name.
    pub fn join(&mut self, other: Self, place: &str) -> Result<()> {
        if self.sentences.len() != other.sentences.len() {
            let expected = format!("the {} sentences of the first file", self.sentences.len());
            return Err(wrong(place, None, expected, other.sentences.len().to_string()));
        }
        for (own, new) in self.sentences.iter().zip(&other.sentences) {
            let mut pairs = own.words.iter().zip(&new.words);
            let differs = pairs.find(|(own, new)| own.text != new.text);
            let found = match differs {
                Some((own, new)) => Some((format!("`{}`", own.text), format!("`{}`", new.text))),
                None if own.words.len() != new.words.len() => {
                    Some((format!("{} words", own.words.len()), new.words.len().to_string()))
                }
                None => None,
            };
            if let Some((expected, found)) = found {
                return Err(wrong(
                    place,
                    new.line,
                    format!("{expected}, as in the first file"),
                    found,
                ));
            }
        }
        let first = self.columns.len();
        for name in other.columns {
            let taken = |name: &String| self.columns.contains(name);
            let mut new = name.clone();
            let mut number = 2;
            while taken(&new) {
                new = format!("{name}{number}");
                number += 1;
            }
            self.columns.push(new);
        }
        for (own, new) in self.sentences.iter_mut().zip(other.sentences) {
            for (own, new) in own.words.iter_mut().zip(new.words) {
                own.tags
                    .extend(new.tags.into_iter().map(|(column, tag)| (first + column, tag)));
            }
            let known = |key: &String, own: &TaggedSentence| own.comment(key).is_some();
            for (key, value) in new.comments {
                if !known(&key, own) {
                    own.comments.push((key, value));
                }
            }
        }
        Ok(())
    }
}

fn sentence(line: usize) -> TaggedSentence {
    TaggedSentence {
        text: String::new(),
        second: None,
        line,
        comments: Vec::new(),
        words: Vec::new(),
    }
}

/// Adds a word with a space before it.
fn add(sentence: &mut TaggedSentence, word: &str, tags: &[&str]) {
    if !sentence.text.is_empty() {
        sentence.text.push(' ');
    }
    let start = sentence.text.len();
    sentence.text += word;
    let tags = tags.iter().enumerate();
    let tags = tags.flat_map(|(column, tags)| tags.split(SEVERAL).map(move |tag| (column, tag.to_owned())));
    sentence.words.push(TaggedWord {
        text: word.to_owned(),
        span: (start, sentence.text.len()),
        tags: tags.filter(|(_, tag)| !tag.is_empty() && tag != "_").collect(),
    });
}

/// The words of a text, which begins at a byte of its sentence's.
fn split(text: &str, offset: usize, words: &mut Vec<TaggedWord>) {
    let mut push = |start: usize, end: usize| {
        words.push(TaggedWord {
            text: text[start..end].to_owned(),
            span: (offset + start, offset + end),
            tags: Vec::new(),
        });
    };
    let place = |piece: &str| piece.as_ptr() as usize - text.as_ptr() as usize;
    for piece in text.split_whitespace() {
        let start = place(piece);
        let end = start + piece.len();
        let inner = piece.trim_matches(|c: char| !c.is_alphanumeric());
        if inner.is_empty() {
            push(start, end);
            continue;
        }
        let inside = place(inner);
        let marks = |start: usize, end: usize| {
            text[start..end]
                .char_indices()
                .map(move |(at, c)| (start + at, start + at + c.len_utf8()))
        };
        marks(start, inside).for_each(|(start, end)| push(start, end));
        push(inside, inside + inner.len());
        marks(inside + inner.len(), end).for_each(|(start, end)| push(start, end));
    }
}

fn list(content: &str, place: &str) -> Result<Vec<String>> {
    let content = content.strip_prefix('\u{feff}').unwrap_or(content);
    serde_json::from_str(content).map_err(|error| wrong(place, error.line(), "a JSON list of texts", error.to_string()))
}

fn columns(count: usize, names: &[&str], place: &str) -> Result<Vec<String>> {
    if !names.is_empty() {
        if names.len() != count {
            return Err(wrong(
                place,
                None,
                format!("{} columns of tags", names.len()),
                count.to_string(),
            ));
        }
        return Ok(names.iter().map(|&name| name.to_owned()).collect());
    }
    Ok(match count {
        1 => vec!["tag".into()],
        2 => vec!["pos".into(), "chunk".into()],
        3 => vec!["pos".into(), "chunk".into(), "ner".into()],
        _ => (1..=count).map(|at| format!("tag{at}")).collect(),
    })
}

fn not_empty(text: TaggedText, place: &str) -> Result<TaggedText> {
    if text.sentences.is_empty() {
        return Err(wrong(place, None, "at least one sentence", "none"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_counted() {
        let message = |content: &str| TaggedText::conll(content, "f", &[]).unwrap_err().to_string();
        assert_eq!(
            message("a X\nb\n"),
            "f, line 2: expected 2 columns, a word and its tags, found 1"
        );
        assert!(message("a\n").contains("line 1: expected 2 columns"));
        assert!(message("-DOCSTART- O\n").contains("at least one sentence"));
        assert!(TaggedText::conll("a X Y\n", "f", &["one"]).is_err());
        let text = TaggedText::conll("# a comment\r\n\r\na\tX|||Y\r\n#\tP\r\n\r\n\r\nb\t_\r\n", "f", &[]).unwrap();
        assert_eq!(text.columns, ["tag"]);
        let first = &text.sentences[0];
        assert_eq!((first.text.as_str(), first.line, text.sentences[1].line), ("a #", 3, 7));
        assert_eq!(first.words[0].tags_of(0).collect::<Vec<_>>(), ["X", "Y"]);
        assert_eq!(text.sentences[1].words[0].tag(0), None);
    }

    #[test]
    fn lists_fit_one_another() {
        let message =
            |text: &str, labels: &str| TaggedText::lists(text, "t", &[("l", labels)]).unwrap_err().to_string();
        assert!(message("{}", "[]").starts_with("t, line 1: expected a JSON list of texts"));
        assert!(message(r#"["a b"]"#, "[]").starts_with("l: expected labels of 1 sentences"));
        assert!(message(r#"["a", "a b"]"#, r#"["X", "X"]"#).starts_with("l, line 2: expected 2 labels"));
    }

    #[test]
    fn several_files_are_about_one_text() {
        let mut text = TaggedText::word_tag("the_DET cat_N\n", "a", '_').unwrap();
        text.join(TaggedText::word_tag("the_1 cat_2\n", "b", '_').unwrap(), "b")
            .unwrap();
        text.join(TaggedText::conll("the O B-NP\ncat O I-NP\n", "c", &[]).unwrap(), "c")
            .unwrap();
        assert_eq!(text.columns, ["tag", "tag2", "pos", "chunk"]);
        let cat = &text.sentences[0].words[1];
        assert_eq!(
            [0, 1, 2, 3].map(|column| cat.tag(column)),
            [Some("N"), Some("2"), Some("O"), Some("I-NP")]
        );
        let other = |line: &str| TaggedText::word_tag(line, "d", '_').unwrap();
        let message = text.join(other("the_1 dog_2"), "d").unwrap_err().to_string();
        assert_eq!(message, "d, line 1: expected `cat`, as in the first file, found `dog`");
        assert!(text.join(other("the_1"), "d").is_err());
        assert!(text.join(other("the_1 cat_2\nx_y"), "d").is_err());
    }

    #[test]
    fn files_are_read_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let read = |paths: &[std::path::PathBuf]| TaggedText::read(paths, &TaggedParams::default());
        let tags = file("a.txt", "the_DET cat_N\n");
        let chunks = file("b.conll", "the DT B-NP\ncat NN I-NP\n");
        assert_eq!(read(&[tags.clone(), chunks]).unwrap().columns, ["tag", "pos", "chunk"]);
        let (texts, labels) = (file("t.json", " [\"the cat\"]"), file("sem.json", "[\"X Y|||Z\"]"));
        assert_eq!(read(&[texts.clone(), labels.clone()]).unwrap().columns, ["sem"]);
        assert!(read(&[tags, labels]).is_err());
        let objects = file("o.json", "[{\"text\": \"Hi!\", \"label\": 1}]");
        assert_eq!(read(&[objects]).unwrap().sentences[0].comment("label"), Some("1"));
        assert_eq!(read(&[texts]).unwrap().columns.len(), 0);
        assert!(matches!(read(&[]), Err(Error::Parameter { .. })));
    }

    #[test]
    fn words_of_rows_stand_where_they_are() {
        let mut words = Vec::new();
        let text = "(don't) «ça»... -- ok,né";
        split(text, 3, &mut words);
        let found: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(found, ["(", "don't", ")", "«", "ça", "»", ".", ".", ".", "--", "ok,né"]);
        assert!(
            words
                .iter()
                .all(|word| text[word.span.0 - 3..word.span.1 - 3] == word.text)
        );
    }
}
