//! Examples whose label may be wrong, and how well the list finds planted ones.

use attn_analyze::training::{NoisePrecision, NoiseScore, suspects};
use attn_core::table::Table;
use serde::Serialize;

use super::Training;

/// Attributes that say that a label was made wrong on purpose. Their value is the right label.
const PLANTED: [&str; 4] = ["mislabelled", "mislabeled", "noisy", "planted"];

/// Examples by suspicion.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NoiseList {
    /// The statistic they are ranked by.
    pub score: NoiseScore,
    /// Ranked examples, the most suspicious first.
    pub suspects: Vec<Suspect>,
    /// How well the list finds the planted ones, if there are any.
    pub precision: Option<NoisePrecision>,
}

/// An example of a [`NoiseList`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suspect {
    /// Its number in the log.
    pub example: usize,
    /// Its suspicion: larger is more.
    pub score: f32,
    /// The right label, if a wrong one was planted.
    pub planted: Option<String>,
}

impl Training {
    /// Ranks the examples of the training set by suspicion: those of the split `train`, or all if no example has this split.
    pub fn noise(&self, score: NoiseScore) -> NoiseList {
        let examples = self.log.examples();
        let trained = |example: &usize| examples[*example].split.as_deref() == Some("train");
        let split = (0..examples.len()).any(|example| trained(&example));
        let among = (0..examples.len()).filter(|example| !split || trained(example));
        let ranking = suspects(&self.dynamics, among, score);
        let planted = |example: usize| {
            let found = PLANTED.iter().find_map(|name| examples[example].attribute(name));
            found
                .filter(|value| !matches!(value.to_lowercase().as_str(), "" | "false" | "0"))
                .map(str::to_owned)
        };
        let suspects: Vec<Suspect> = ranking
            .iter()
            .map(|&example| Suspect {
                example,
                score: score.of(&self.dynamics[example]),
                planted: planted(example),
            })
            .collect();
        Self::precise(score, suspects, &ranking)
    }

    fn precise(score: NoiseScore, suspects: Vec<Suspect>, ranking: &[usize]) -> NoiseList {
        let planted: std::collections::HashSet<usize> = suspects
            .iter()
            .filter(|suspect| suspect.planted.is_some())
            .map(|suspect| suspect.example)
            .collect();
        NoiseList {
            score,
            precision: NoisePrecision::of(ranking, |example| planted.contains(&example)),
            suspects,
        }
    }

    /// A noise list as a table: rank, id, score, gold, last answer, planted label, text.
    pub fn noise_table(&self, list: &NoiseList) -> Table {
        let (log, examples, rows) = (&self.log, self.log.examples(), &list.suspects);
        let mut table = Table::new(rows.len());
        let last = |row: usize| log.outcomes(rows[row].example).last().map(|(_, outcome)| *outcome);
        table
            .numbers("rank", |row| row + 1)
            .texts("id", |row| &*examples[rows[row].example].id)
            .numbers(list.score.name(), |row| match list.score {
                NoiseScore::Aum | NoiseScore::Confidence => -rows[row].score,
                _ => rows[row].score,
            })
            .texts("gold", |row| log.gold(rows[row].example))
            .texts("answer", |row| {
                last(row).and_then(|outcome| log.answer(&outcome)).unwrap_or_default()
            })
            .texts("planted", |row| rows[row].planted.as_deref().unwrap_or_default())
            .texts("text", |row| {
                examples[rows[row].example].text.as_deref().unwrap_or_default()
            });
        table
    }
}
