//! Neurons of a layer that tell a concept from the rest: ranked by differences of means, and by a linear probe beside its control.
//!
//! Probeless: Antverg and Belinkov, *On the Pitfalls of Analyzing Individual Neurons in Language Models*, ICLR 2022. Linear probe:
//! Dalvi et al., *What Is One Grain of Sand in the Desert?*, AAAI 2019. Control tasks: Hewitt and Liang, *Designing and
//! Interpreting Probes with Control Tasks*, EMNLP 2019.

use std::collections::BTreeMap;

use attn_core::{Progress, progress::step};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::{LabelSet, Units, partition::same_points, points::check};
use crate::{Error, Rng};

/// Settings of [`neurons`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NeuronParams {
    /// Neurons listed for each concept. Default 10.
    pub top: usize,
    /// Labels with fewer points are left out. Default 10.
    pub at_least: usize,
    /// Share of the words that the probe does not see, and is tested on. All occurrences of a word are on one side. Default 0.2.
    pub test: f64,
    /// Passes over all points. Default 200.
    pub iterations: usize,
    /// Weight of the squared weights in the probe's loss. Default 1e-3.
    pub l2: f64,
    /// Seed of the division and of the control labels. Default 0.
    pub seed: u64,
}

impl Default for NeuronParams {
    fn default() -> Self {
        Self {
            top: 10,
            at_least: 10,
            test: 0.2,
            iterations: 200,
            l2: 1e-3,
            seed: 0,
        }
    }
}

/// A neuron and how much it says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Neuron {
    /// Its index in the hidden state.
    pub index: usize,
    /// By probeless ranking, the mean of the concept minus that of all other points; by the probe, the concept's weight for the
    /// standardized neuron.
    pub value: f64,
}

/// Neurons of one concept, those with the largest absolute values first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConceptNeurons {
    /// The label.
    pub label: String,
    /// Its points.
    pub points: usize,
    /// By the difference of means.
    pub probeless: Vec<Neuron>,
    /// By the weights of the probe.
    pub probe: Vec<Neuron>,
}

/// Neurons of a layer for one set of labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Neurons {
    /// Name of the label set.
    pub label_set: String,
    /// The concepts.
    pub concepts: Vec<ConceptNeurons>,
    /// Share of the points of unseen words whose label the probe finds.
    pub accuracy: f64,
    /// Share of these points that have the most frequent label.
    pub majority: f64,
    /// The same probe for a control task: every word has a label of its own, drawn at random, which can only be learned by heart. Tested
    /// on occurrences that the probe has not seen, of words that it has.
    pub control: f64,
    /// The probe's accuracy on occurrences that it has not seen, of words that it has, minus that of the control task: what is read
    /// from the layer rather than learned by the probe.
    pub selectivity: f64,
}

/// Ranks the neurons of `vectors`, `[point, neuron]`, for each label of a set; of points with several labels the first counts.
///
/// ```
/// use attn_analyze::concepts::{LabelSet, NeuronParams, Units, neurons};
/// use ndarray::Array2;
///
/// // Neuron 1 is 5 for nouns and 0 for verbs.
/// let vectors = Array2::from_shape_fn((40, 3), |(word, neuron)| {
///     if neuron == 1 && word % 2 == 0 { 5.0 } else { ((word * 7 + neuron * 3) % 5) as f32 * 0.1 }
/// });
/// let labels = LabelSet::new("tag", (0..40).map(|word| vec![["NOUN", "VERB"][word % 2]]));
/// let names: Vec<String> = (0..40).map(|word| format!("w{}", word / 2 % 10 * 2 + word % 2)).collect();
/// let names: Vec<&str> = names.iter().map(String::as_str).collect();
/// let found = neurons(vectors.view(), &labels, &Units::of_types(&names), &NeuronParams::default(), &())?;
/// assert_eq!((found.concepts[0].probeless[0].index, found.concepts[0].probe[0].index), (1, 1));
/// assert_eq!(found.accuracy, 1.0);
/// # Ok::<(), attn_analyze::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if the three are not of the same points, [`Error::Empty`] with fewer than two labels of enough points or without a
/// word to test on, [`Error::NotFinite`], [`Error::Parameter`] for a share out of 0 to 1, a cancellation.
pub fn neurons(
    vectors: ArrayView2<'_, f32>,
    labels: &LabelSet,
    units: &Units,
    params: &NeuronParams,
    progress: &dyn Progress,
) -> Result<Neurons, Error> {
    check(vectors)?;
    same_points(vectors.nrows(), labels.of.len(), &labels.name)?;
    same_points(vectors.nrows(), units.points(), "units")?;
    if !(params.test > 0.0 && params.test < 1.0) {
        return Err(Error::Parameter {
            name: "test",
            expected: "a share above 0, below 1".into(),
            found: params.test.to_string(),
        });
    }
    let counts = first_counts(labels);
    let kept: Vec<usize> = (0..counts.len())
        .filter(|&label| counts[label] >= params.at_least.max(1))
        .collect();
    if kept.len() < 2 {
        return Err(Error::Empty {
            place: labels.name.clone(),
            expected: format!("two labels with at least {} words", params.at_least.max(1)),
        });
    }
    let class: BTreeMap<usize, usize> = kept.iter().enumerate().map(|(class, &label)| (label, class)).collect();
    let (rows, of): (Vec<usize>, Vec<usize>) = (0..vectors.nrows())
        .filter_map(|row| Some((row, *class.get(labels.of[row].first()?)?)))
        .unzip();
    let needed = attn_core::Limits::size(&[3, rows.len(), vectors.ncols() + 1], 8);
    attn_core::Limits::default().check(format!("a linear probe for {}", labels.name), needed)?;
    let points = standardized(vectors.select(Axis(0), &rows));
    let inputs: Vec<usize> = rows.iter().map(|&row| units.inputs[row]).collect();

    let by_word = Split::by_word(&inputs, params);
    let within = Split::within_words(&inputs, params);
    for (split, what) in [(&by_word, "words"), (&within, "words with several occurrences")] {
        if split.test.is_empty() || split.train.is_empty() {
            return Err(Error::Empty {
                place: labels.name.clone(),
                expected: format!("enough {what} to learn from some and to test on others"),
            });
        }
    }
    let classes = kept.len();
    let probe = |of: &[usize], split: &Split| train(&points, of, classes, &split.train, params, progress);
    let weights = probe(&of, &by_word)?;
    let accuracy = right(&points, &weights, &of, &by_word.test);
    let seen = right(&points, &probe(&of, &within)?, &of, &within.test);
    let random = control(&inputs, &of, params.seed);
    let control = right(&points, &probe(&random, &within)?, &random, &within.test);
    let mut tally = vec![0_usize; classes];
    by_word.test.iter().for_each(|&row| tally[of[row]] += 1);
    let most = tally.iter().copied().max().unwrap_or(0);

    let concepts = kept.iter().enumerate().map(|(class, &label)| ConceptNeurons {
        label: labels.labels[label].clone(),
        points: counts[label],
        probeless: ranked(difference(vectors, &rows, &of, class), params.top),
        probe: ranked(
            weights.column(class).slice(ndarray::s![..vectors.ncols()]).to_vec(),
            params.top,
        ),
    });
    Ok(Neurons {
        label_set: labels.name.clone(),
        concepts: concepts.collect(),
        accuracy,
        majority: most as f64 / by_word.test.len() as f64,
        control,
        selectivity: seen - control,
    })
}

/// Points by their first label.
fn first_counts(labels: &LabelSet) -> Vec<usize> {
    let mut counts = vec![0; labels.labels.len()];
    labels
        .of
        .iter()
        .filter_map(|of| of.first())
        .for_each(|&label| counts[label] += 1);
    counts
}

/// The mean of a class minus that of all others, per neuron.
fn difference(vectors: ArrayView2<'_, f32>, rows: &[usize], of: &[usize], class: usize) -> Vec<f64> {
    let mut sums = [Array1::<f64>::zeros(vectors.ncols()), Array1::zeros(vectors.ncols())];
    let mut counts = [0_usize; 2];
    for (&row, &other) in rows.iter().zip(of) {
        let own = usize::from(other == class);
        counts[own] += 1;
        sums[own].zip_mut_with(&vectors.row(row), |sum, &x| *sum += f64::from(x));
    }
    let [others, own] = sums;
    let [rest, count] = counts.map(|count| count.max(1) as f64);
    (own / count - others / rest).to_vec()
}

fn ranked(values: Vec<f64>, top: usize) -> Vec<Neuron> {
    let mut neurons: Vec<Neuron> = values
        .into_iter()
        .enumerate()
        .map(|(index, value)| Neuron { index, value })
        .collect();
    neurons.sort_by(|a, b| b.value.abs().total_cmp(&a.value.abs()));
    neurons.truncate(top);
    neurons
}

/// Every neuron with mean 0 and deviation 1, and a last column of ones for the bias.
fn standardized(points: Array2<f32>) -> Array2<f64> {
    let points = points.mapv(f64::from);
    let count = points.nrows().max(1) as f64;
    let mut out = Array2::ones((points.nrows(), points.ncols() + 1));
    for (column, mut to) in points.columns().into_iter().zip(out.columns_mut()) {
        let mean = column.sum() / count;
        let deviation = (column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
        // A neuron that never changes says nothing.
        let scale = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
        to.zip_mut_with(&column, |to, x| *to = (x - mean) * scale);
    }
    out
}

struct Split {
    train: Vec<usize>,
    test: Vec<usize>,
}

impl Split {
    /// All occurrences of a word on one side.
    fn by_word(inputs: &[usize], params: &NeuronParams) -> Self {
        let mut tested: BTreeMap<usize, bool> = inputs.iter().map(|&input| (input, false)).collect();
        let count = tested.len();
        let chosen = Rng::new(params.seed, &[1]).sample(count, ((params.test * count as f64).round() as usize).max(1));
        let mut flags = vec![false; count];
        chosen.into_iter().for_each(|at| flags[at] = true);
        tested.values_mut().zip(flags).for_each(|(tested, flag)| *tested = flag);
        let (test, train) = (0..inputs.len()).partition(|&row| tested[&inputs[row]]);
        Self { train, test }
    }

    /// Some occurrences of every word that has several.
    fn within_words(inputs: &[usize], params: &NeuronParams) -> Self {
        let mut places: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        inputs
            .iter()
            .enumerate()
            .for_each(|(row, &input)| places.entry(input).or_default().push(row));
        let mut tested = vec![false; inputs.len()];
        for (stream, rows) in places.into_values().enumerate().filter(|(_, rows)| rows.len() > 1) {
            let count = ((params.test * rows.len() as f64).round() as usize).clamp(1, rows.len() - 1);
            let chosen = Rng::new(params.seed, &[2, stream]).sample(rows.len(), count);
            chosen.into_iter().for_each(|at| tested[rows[at]] = true);
        }
        let (test, train) = (0..inputs.len()).partition(|&row| tested[row]);
        Self { train, test }
    }
}

/// A label for every word, drawn as often as labels occur.
fn control(inputs: &[usize], of: &[usize], seed: u64) -> Vec<usize> {
    let mut rng = Rng::new(seed, &[3]);
    let mut drawn: BTreeMap<usize, usize> = BTreeMap::new();
    inputs
        .iter()
        .map(|input| *drawn.entry(*input).or_insert_with(|| of[rng.below(of.len())]))
        .collect()
}

/// Softmax regression, `[neuron and bias, class]`, by Nesterov's accelerated gradient on all points with the step that the largest
/// curvature allows.
fn train(
    points: &Array2<f64>,
    of: &[usize],
    classes: usize,
    rows: &[usize],
    params: &NeuronParams,
    progress: &dyn Progress,
) -> Result<Array2<f64>, Error> {
    let x = points.select(Axis(0), rows);
    let count = rows.len() as f64;
    // The curvature of softmax is at most half of that of the points.
    let rate = 1.0 / (0.5 * largest_eigenvalue(&x) / count + params.l2);
    let mut weights = Array2::<f64>::zeros((x.ncols(), classes));
    let mut ahead = weights.clone();
    for iteration in 0..params.iterations {
        if iteration % 20 == 0 {
            step(progress, "linear probe", iteration, params.iterations)?;
        }
        let mut error = x.dot(&ahead);
        for (mut row, &point) in error.rows_mut().into_iter().zip(rows) {
            let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row.mapv_inplace(|logit| (logit - most).exp());
            let total = row.sum();
            row.mapv_inplace(|x| x / total / count);
            row[of[point]] -= 1.0 / count;
        }
        let gradient = x.t().dot(&error) + &ahead * params.l2;
        let next = &ahead - &(gradient * rate);
        let momentum = iteration as f64 / (iteration as f64 + 3.0);
        ahead = &next + &((&next - &weights) * momentum);
        weights = next;
    }
    step(progress, "linear probe", params.iterations, params.iterations)?;
    Ok(weights)
}

/// Of `x^T x`, from above: some steps of power iteration, and a margin for what they miss.
fn largest_eigenvalue(x: &Array2<f64>) -> f64 {
    let mut vector = Array1::<f64>::ones(x.ncols());
    let mut value = 1.0;
    for _ in 0..30 {
        let next = x.t().dot(&x.dot(&vector));
        value = next.dot(&next).sqrt() / vector.dot(&vector).sqrt().max(f64::MIN_POSITIVE);
        let length = next.dot(&next).sqrt();
        if length == 0.0 {
            return 1.0;
        }
        vector = next / length;
    }
    1.2 * value
}

/// Share of points whose class has the largest logit.
fn right(points: &Array2<f64>, weights: &Array2<f64>, of: &[usize], rows: &[usize]) -> f64 {
    let logits = points.select(Axis(0), rows).dot(weights);
    let found = logits.rows().into_iter().zip(rows).filter(|(row, point)| {
        let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]).then(b.cmp(&a)));
        best == Some(of[**point])
    });
    found.count() as f64 / rows.len().max(1) as f64
}
