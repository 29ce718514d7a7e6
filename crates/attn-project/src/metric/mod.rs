//! Metrics: what "near" means, built in or a host's.

mod space;

use std::{fmt, hash, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub(crate) use self::space::{Space, normalize, unit_of};
use crate::{Error, Result};

/// A distance between points.
///
/// [`Euclidean`], [`Cosine`] and [`InnerProduct`] implement it, and so may a host: a [`Metric`] is made of any of
/// them, and goes wherever a metric is taken. Neighbors are then searched pair by pair, exactly, in time that grows
/// with the square of the points whatever their number.
///
/// ```
/// use attn_project::{Metric, Neighbors, metric::Distance};
///
/// #[derive(Debug)]
/// struct Manhattan;
///
/// impl Distance for Manhattan {
///     fn name(&self) -> &str {
///         "manhattan"
///     }
///
///     fn distance(&self, a: &[f32], b: &[f32]) -> f32 {
///         a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum()
///     }
/// }
///
/// let points = ndarray::array![[0.0f32, 0.0], [3.0, 3.0], [5.0, 0.0]];
/// let neighbors = Neighbors::exact(points.view(), 1, Manhattan, &())?;
/// assert_eq!((neighbors.indices(0), neighbors.distances(0)), (&[2][..], &[5.0][..]));
/// # Ok::<(), attn_project::Error>(())
/// ```
pub trait Distance: fmt::Debug + Send + Sync + 'static {
    /// Its name in files and errors; must tell its parameters too, because metrics of one name count as equal.
    fn name(&self) -> &str;

    /// The distance between two points of equal length: the same both ways, finite.
    fn distance(&self, a: &[f32], b: &[f32]) -> f32;

    /// What the Gaussian kernel of t-SNE decays with. Default: the squared distance.
    fn squared(&self, distance: f32) -> f64 {
        f64::from(distance) * f64::from(distance)
    }

    /// The vector instructions that can stand for [`distance`](Self::distance). Default: none.
    fn kernel(&self) -> Kernel {
        Kernel::Pairs
    }
}

/// How distances of many pairs are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kernel {
    /// As [`Euclidean`] distances, from matrix products.
    Euclidean,
    /// As [`Cosine`] distances, from matrix products.
    Cosine,
    /// As [`InnerProduct`], from matrix products.
    InnerProduct,
    /// By [`Distance::distance`], pair by pair.
    Pairs,
}

/// Length of the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Euclidean;

/// `1 - cos`, from 0 to 2. A row of zeros has no direction: its distance to everything is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cosine;

/// Minus the dot product: the nearest key is the one attended to most. May be negative, and a point need not be its own
/// nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InnerProduct;

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// A finite number of single precision.
fn single(x: f64) -> f32 {
    (x as f32).clamp(-f32::MAX, f32::MAX)
}

impl Distance for Euclidean {
    fn name(&self) -> &str {
        "euclidean"
    }

    fn distance(&self, a: &[f32], b: &[f32]) -> f32 {
        let squared = |(&a, &b): (&f32, &f32)| (f64::from(a) - f64::from(b)).powi(2);
        single(a.iter().zip(b).map(squared).sum::<f64>().sqrt())
    }

    fn kernel(&self) -> Kernel {
        Kernel::Euclidean
    }
}

impl Distance for Cosine {
    fn name(&self) -> &str {
        "cosine"
    }

    fn distance(&self, a: &[f32], b: &[f32]) -> f32 {
        let norms = (dot(a, a) * dot(b, b)).sqrt();
        match norms > 0.0 {
            true => single(1.0 - dot(a, b) / norms).max(0.0),
            false => 1.0,
        }
    }

    /// The squared chord between the unit vectors, `2 (1 - cos)`.
    fn squared(&self, distance: f32) -> f64 {
        2.0 * f64::from(distance)
    }

    fn kernel(&self) -> Kernel {
        Kernel::Cosine
    }
}

impl Distance for InnerProduct {
    fn name(&self) -> &str {
        "inner_product"
    }

    fn distance(&self, a: &[f32], b: &[f32]) -> f32 {
        single(-dot(a, b))
    }

    /// No distance, and so taken as it is.
    fn squared(&self, distance: f32) -> f64 {
        f64::from(distance)
    }

    fn kernel(&self) -> Kernel {
        Kernel::InnerProduct
    }
}

/// A shared [`Distance`], built in or a host's. Made by `into` from any of them; the default is [`Euclidean`].
///
/// ```
/// use attn_project::{Metric, metric::Cosine};
/// assert_eq!(Metric::from(Cosine), Metric::COSINE);
/// assert_eq!("cosine".parse::<Metric>()?, Metric::COSINE);
/// assert_eq!(Metric::COSINE.distance(&[1.0, 0.0], &[0.0, 2.0]), 1.0);
/// # Ok::<(), attn_project::Error>(())
/// ```
#[derive(Clone)]
pub struct Metric(Shared);

#[derive(Clone)]
enum Shared {
    Static(&'static dyn Distance),
    Counted(Arc<dyn Distance>),
}

impl Metric {
    /// [`Euclidean`].
    pub const EUCLIDEAN: Self = Self(Shared::Static(&Euclidean));
    /// [`Cosine`].
    pub const COSINE: Self = Self(Shared::Static(&Cosine));
    /// [`InnerProduct`].
    pub const INNER_PRODUCT: Self = Self(Shared::Static(&InnerProduct));

    /// The built-in metrics.
    pub fn builtin() -> [Self; 3] {
        [Self::EUCLIDEAN, Self::COSINE, Self::INNER_PRODUCT]
    }

    fn inner(&self) -> &dyn Distance {
        match &self.0 {
            Shared::Static(distance) => *distance,
            Shared::Counted(distance) => distance.as_ref(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.inner().name()
    }

    /// The distance between two points of equal length.
    pub fn distance(&self, a: &[f32], b: &[f32]) -> f32 {
        self.inner().distance(a, b)
    }

    /// How distances of many pairs are computed.
    pub fn kernel(&self) -> Kernel {
        self.inner().kernel()
    }

    pub(crate) fn squared(&self, distance: f32) -> f64 {
        self.inner().squared(distance)
    }

    /// Distances of a point from many others, which are finite unless the metric is a host's.
    pub(crate) fn distances(&self, from: &[f32], flat: &[f32]) -> Result<Vec<f32>> {
        let rows = flat.chunks_exact(from.len().max(1)).enumerate();
        rows.map(|(row, other)| {
            let value = self.distance(from, other);
            match value.is_finite() {
                true => Ok(value),
                false => Err(Error::NotFinite {
                    what: "distances",
                    row,
                    column: 0,
                    value,
                }),
            }
        })
        .collect()
    }
}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner().fmt(f)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Default for Metric {
    fn default() -> Self {
        Self::EUCLIDEAN
    }
}

impl<D: Distance> From<D> for Metric {
    fn from(distance: D) -> Self {
        Self(Shared::Counted(Arc::new(distance)))
    }
}

impl From<Arc<dyn Distance>> for Metric {
    fn from(distance: Arc<dyn Distance>) -> Self {
        Self(Shared::Counted(distance))
    }
}

impl From<&Metric> for Metric {
    fn from(metric: &Metric) -> Self {
        metric.clone()
    }
}

impl PartialEq for Metric {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Metric {}

impl hash::Hash for Metric {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

/// The built-in metric of a name.
impl FromStr for Metric {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::builtin().into_iter().find(|metric| metric.name() == name);
        found.ok_or_else(|| {
            let names = Self::builtin().map(|metric| metric.name().to_owned());
            Error::parameter("metric", format!("one of {}", names.join(", ")), name)
        })
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(de::Error::custom)
    }
}
