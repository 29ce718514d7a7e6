//! Clusters for other programs: files that the published scripts read, clusters to be named elsewhere, and names read back.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{ConceptCluster, ConceptLayer, ConceptSpace};
use crate::{
    Error, Result,
    concepts::{ClusterSummary, NameKind, Namer},
};

/// Spellings and sentences of a cluster that are given to be named.
const WORDS: usize = 30;
const SENTENCES: usize = 5;
const REACH: usize = 60;

impl ConceptSpace {
    /// The different spellings of a cluster with their occurrences, most frequent first, equally frequent ones by the alphabet.
    pub fn spellings(&self, cluster: &ConceptCluster) -> Vec<(&str, usize)> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for word in cluster
            .members
            .iter()
            .filter_map(|&member| self.words.words.get(member))
        {
            *counts.entry(&word.text).or_default() += 1;
        }
        let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        counts
    }

    /// A layer as `clusters-K.txt` of ConceptX and TransformersConceptNet: a line `word|||occurrence|||sentence|||token|||cluster`
    /// per word. `occurrence` counts those of the spelling, in the order of the text, `sentence` and `token` count from 0; the token is the
    /// word's place in its sentence. A word in no cluster has no line.
    pub fn clusters_txt(&self, layer: &ConceptLayer) -> String {
        let mut out = String::new();
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, word) in self.words.words.iter().enumerate() {
            let occurrence = seen.entry(&word.text).or_default();
            if let Some(cluster) = layer.partition.cluster(at) {
                let _ = writeln!(
                    out,
                    "{}|||{occurrence}|||{}|||{}|||{cluster}",
                    word.text, word.sentence, word.index
                );
            }
            *occurrence += 1;
        }
        out
    }

    /// The clusters of a layer as text that a person or a language model can name: a paragraph per cluster, with its words and
    /// some of its sentences, and the form of the answer that [`NamesFile`] reads.
    pub fn prompts(&self, layer: &ConceptLayer) -> String {
        let mut out = format!(
            "Each paragraph below is a cluster of words that a language model ({}, layer {}) represents alike, with the number of \
             occurrences of each word, and some of its sentences with the word in [[ ]]. Give each cluster a short name for what \
             its words have in common. Answer with one line per cluster: its number, a TAB, its name.\n",
            self.name(),
            layer.layer
        );
        for (at, cluster) in layer.clusters.iter().enumerate() {
            let words = self.spellings(cluster);
            let listed: Vec<String> = words
                .iter()
                .take(WORDS)
                .map(|(word, count)| format!("{word} ({count})"))
                .collect();
            let more = words.len().saturating_sub(WORDS);
            let more = if more > 0 {
                format!(", and {more} more")
            } else {
                String::new()
            };
            let _ = writeln!(out, "\nCluster {at}: {}{more}", listed.join(", "));
            let step = (cluster.members.len() / SENTENCES).max(1);
            for &member in cluster.members.iter().step_by(step).take(SENTENCES) {
                if let Some([before, it, after]) = self.excerpt(member, REACH) {
                    let _ = writeln!(out, "- {before}[[{it}]]{after}");
                }
            }
        }
        out
    }

    /// Gives clusters of a layer the names of a file. Clusters without one keep theirs.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a layer or a cluster that the space lacks.
    pub fn rename(&mut self, layer: usize, names: &NamesFile) -> Result<()> {
        let found = self.layers.iter_mut().find(|own| own.layer == layer);
        let found = found.ok_or_else(|| Error::Parameter {
            name: "layer",
            expected: "a layer of the space".into(),
            found: layer.to_string(),
        })?;
        let count = found.clusters.len();
        if let Some(&beyond) = names.names.keys().find(|&&cluster| cluster >= count) {
            return Err(Error::Parameter {
                name: "names",
                expected: format!("clusters 0 to {}", count.saturating_sub(1)),
                found: beyond.to_string(),
            });
        }
        for (&cluster, name) in &names.names {
            let own = &mut found.clusters[cluster].name;
            own.text.clone_from(name);
            own.kind = NameKind::External;
            own.share = 0.0;
        }
        Ok(())
    }
}

/// Names of clusters from a file: a line `number` TAB `name` per cluster.
///
/// ```
/// use attn_analyze::concepts::{ClusterSummary, NamesFile, Namer};
///
/// let names = NamesFile::read("0\tpronouns\n\n2\tcolors\n", "names.txt")?;
/// let cluster = |cluster| ClusterSummary { cluster, words: Vec::new(), points: Vec::new() };
/// assert_eq!(names.name(&cluster(2))?.as_deref(), Some("colors"));
/// assert_eq!(names.name(&cluster(1))?, None);
/// # Ok::<(), attn_analyze::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamesFile {
    names: BTreeMap<usize, String>,
}

impl NamesFile {
    /// Reads the lines; `place` is their file in errors. Empty lines, and those that begin with `#`, say nothing. The number may
    /// stand behind `Cluster` or `c`, and a colon, a comma or a space may stand for the TAB, as models write it.
    ///
    /// # Errors
    /// [`Error::Shape`] with the line for one of another form, and for a cluster with two names.
    pub fn read(content: &str, place: &str) -> Result<Self> {
        let mut names = BTreeMap::new();
        let content = content.strip_prefix('\u{feff}').unwrap_or(content);
        for (at, line) in content.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |expected: &str| Error::Shape {
                place: format!("{place}, line {}", at + 1),
                expected: expected.to_owned(),
                found: format!("`{}`", line.chars().take(60).collect::<String>()),
            };
            let form = "`number` TAB `name`";
            let rest = ["Cluster", "cluster", "c"]
                .iter()
                .find_map(|prefix| line.strip_prefix(prefix))
                .unwrap_or(line)
                .trim_start();
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, name) = rest.split_at(digits);
            let number: usize = number.parse().map_err(|_| wrong(form))?;
            let name = name
                .trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ':' | ',' | '.'))
                .trim();
            if name.is_empty() {
                return Err(wrong(form));
            }
            if names.insert(number, name.to_owned()).is_some() {
                return Err(wrong("one name per cluster"));
            }
        }
        Ok(Self { names })
    }

    /// The number of names.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

impl Namer for NamesFile {
    fn name(&self, cluster: &ClusterSummary<'_>) -> Result<Option<String>> {
        Ok(self.names.get(&cluster.cluster).cloned())
    }
}
