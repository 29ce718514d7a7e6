//! The smallest scores seen so far: what every search keeps per point.
//!
//! Few scores of many matter, so that they are looked at several at a time: only those at or below a threshold, the
//! worst of the best so far, are kept, and now and then the kept ones are cut down to the best again.

/// The number of no point.
pub(super) const NOBODY: u32 = u32::MAX;

/// A score and the point it belongs to in one integer, whose order is by score, then by point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate(u64);

impl Candidate {
    pub(super) fn new(score: f32, point: u32) -> Self {
        // Positive floats order like their bits; negative ones the other way round. -0 counts as 0.
        let bits = (score + 0.0).to_bits();
        let negative = ((bits as i32) >> 31) as u32;
        let ordered = bits ^ (negative | 1 << 31);
        Self(u64::from(ordered) << 32 | u64::from(point))
    }

    pub(crate) fn point(self) -> u32 {
        self.0 as u32
    }

    pub(crate) fn score(self) -> f32 {
        let ordered = (self.0 >> 32) as u32;
        f32::from_bits(if ordered >> 31 == 1 {
            ordered & !(1 << 31)
        } else {
            !ordered
        })
    }
}

/// The `capacity` smallest scores seen so far.
pub(crate) struct Nearest {
    capacity: usize,
    threshold: f32,
    found: Vec<Candidate>,
}

impl Nearest {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            threshold: f32::INFINITY,
            found: Vec::with_capacity(4 * capacity),
        }
    }

    /// All scores up to a threshold, however many they are.
    pub(super) fn below(threshold: f32) -> Self {
        Self {
            capacity: usize::MAX,
            threshold,
            found: Vec::new(),
        }
    }

    /// Offers the scores `bias - products` of the points `first..`; calls must come in ascending order.
    pub(crate) fn scan(&mut self, bias: &[f32], products: &[f32], first: u32) {
        if self.threshold == f32::INFINITY {
            self.threshold = self.guess(bias, products);
        }
        self.collect(bias, products, first);
        if self.found.len() < self.capacity {
            // The sample was not typical: nothing is lost, everything is looked at again.
            self.found.retain(|candidate| candidate.point() < first);
            self.threshold = f32::INFINITY;
            self.collect(bias, products, first);
        }
        self.compact();
    }

    /// A score that somewhat more than `capacity` are probably below, from every eighth.
    fn guess(&self, bias: &[f32], products: &[f32]) -> f32 {
        const STRIDE: usize = 8;
        let rank = self.capacity / STRIDE;
        let rank = rank + rank / 4 + 4;
        let mut sample: Vec<f32> = bias
            .iter()
            .zip(products)
            .step_by(STRIDE)
            .map(|(bias, product)| bias - product)
            .collect();
        if 2 * rank >= sample.len() {
            return f32::INFINITY;
        }
        *sample.select_nth_unstable_by(rank, f32::total_cmp).1
    }

    /// Adds every score below the threshold.
    fn collect(&mut self, bias: &[f32], products: &[f32], first: u32) {
        let threshold = self.threshold;
        let mut start = first;
        for (bias, products) in bias.chunks(CHUNK).zip(products.chunks(CHUNK)) {
            let (from, end) = (start, start + bias.len() as u32);
            start = end;
            if let (Ok(bias), Ok(products)) = (bias.try_into(), products.try_into())
                && least(bias, products) >= threshold
            {
                continue;
            }
            for ((bias, product), point) in bias.iter().zip(products).zip(from..end) {
                let score = bias - product;
                if score < threshold {
                    self.found.push(Candidate::new(score, point));
                }
            }
        }
    }

    /// Keeps the best; later points must beat the worst of them, equal ones have a higher index and lose.
    fn compact(&mut self) {
        if self.found.len() >= self.capacity {
            let (_, &mut worst, _) = self.found.select_nth_unstable(self.capacity - 1);
            self.found.truncate(self.capacity);
            self.threshold = worst.score();
        }
    }

    /// The score that others must not exceed to be among the best.
    #[inline(always)]
    pub(super) fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Offers some scores and their points, in any order; `except` and [`NOBODY`] are passed over.
    #[inline(always)]
    pub(super) fn offer<const N: usize>(&mut self, scores: &[f32; N], points: &[u32], except: u32) {
        // Written down in any case and counted if good: a rare and unpredictable branch costs more.
        let mut good = [Candidate(0); N];
        let mut count = 0;
        for (&score, &point) in scores.iter().zip(points) {
            good[count] = Candidate::new(score, point);
            count += usize::from(score <= self.threshold && point != except && point != NOBODY);
        }
        for &candidate in &good[..count] {
            self.found.push(candidate);
        }
        if self.found.len() / 3 >= self.capacity {
            self.compact();
        }
    }

    /// Cuts down to the best and keeps another number from now on; returns the threshold. What was passed over till now
    /// has a score at or above it.
    pub(super) fn resize(&mut self, capacity: usize) -> f32 {
        self.compact();
        self.capacity = capacity;
        self.threshold
    }

    /// Whether the best are all below `bar`, so that nothing at or above it can be missing.
    pub(super) fn is_complete_below(&mut self, bar: f32) -> bool {
        self.compact();
        self.found.len() >= self.capacity && self.threshold < bar
    }

    /// The best, in no particular order.
    pub(crate) fn take(&mut self) -> Vec<Candidate> {
        self.compact();
        self.threshold = f32::INFINITY;
        std::mem::take(&mut self.found)
    }
}

const CHUNK: usize = 16;

/// The least `bias - product`, in a shape that compiles to vector instructions.
#[inline(always)]
fn least(bias: &[f32; CHUNK], products: &[f32; CHUNK]) -> f32 {
    let min = |a: f32, b: f32| if a < b { a } else { b };
    let scores: [f32; CHUNK] = std::array::from_fn(|i| bias[i] - products[i]);
    let halves: [f32; 8] = std::array::from_fn(|i| min(scores[i], scores[i + 8]));
    let quarters: [f32; 4] = std::array::from_fn(|i| min(halves[i], halves[i + 4]));
    min(min(quarters[0], quarters[1]), min(quarters[2], quarters[3]))
}
