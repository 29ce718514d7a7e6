//! Scaling of rotary positions for longer contexts: `linear` (Chen et al. 2023, position interpolation), `dynamic` (the base
//! grows with the sequence; Peng et al. 2024, section 3.3), `yarn` (Peng et al. 2024, section 3.4, with the reference's
//! rounding), `longrope` (Ding et al. 2024: a factor per pair, one set for short sequences and one for long) and `llama3`
//! (Dubey et al. 2024, section 3.2).
//!
//! Configurations spell the same options in several ways ([`Spelling`]).

use super::{Beyond, Growth, Rotary, RotaryLayers};
use crate::{Result, families::Config};

impl Rotary {
    pub(super) fn scale(&mut self, spelling: &Spelling<'_>, theta: f64, rotated: usize) -> Result<()> {
        let scaling = &spelling.inside;
        if let Some((key, _)) = scaling.entries().find(|(_, value)| value.is_object()) {
            return Err(scaling.unsupported(key, "one set of parameters for all layers"));
        }
        let kind_key = if scaling.get("rope_type").is_some() {
            "rope_type"
        } else {
            "type"
        };
        match scaling.text(kind_key)? {
            None | Some("default") => {}
            Some("linear") => {
                let factor = factor(scaling, "factor")?;
                self.frequencies.iter_mut().for_each(|frequency| *frequency /= factor);
            }
            Some("dynamic") => {
                let factor = factor(scaling, "factor")?;
                if rotated == 2 || factor < 1.0 {
                    return Err(scaling.wrong("factor", "a number from 1, for more than one pair of dimensions"));
                }
                self.growth = Some(Growth {
                    trained: self.max_tokens,
                    beyond: Beyond::Base { theta, factor },
                });
                self.max_tokens = times(self.max_tokens as f64, factor);
            }
            Some("yarn") => self.yarn(spelling, theta, rotated)?,
            Some("longrope") => self.longrope(spelling)?,
            Some("llama3") => {
                let trained = spelling.trained(self.max_tokens)?;
                llama3(scaling, trained, &mut self.frequencies)?;
            }
            Some(_) => {
                return Err(scaling.unsupported(kind_key, "default, linear, dynamic, yarn, longrope, llama3"));
            }
        }
        Ok(())
    }

    /// Each pair is slowed down by a factor of its own: one set up to the trained length, another beyond.
    fn longrope(&mut self, spelling: &Spelling<'_>) -> Result<()> {
        let scaling = &spelling.inside;
        let trained = spelling.trained(self.max_tokens)?;
        let slowed = |key: &str| -> Result<Vec<f64>> {
            let expected = format!(
                "a list of {} numbers above 0, one per rotated pair",
                self.frequencies.len()
            );
            let factors = scaling.get(key).and_then(serde_json::Value::as_array);
            let factors: Option<Vec<f64>> =
                factors.and_then(|list| list.iter().map(serde_json::Value::as_f64).collect());
            match factors {
                Some(factors)
                    if factors.len() == self.frequencies.len() && factors.iter().all(|&factor| factor > 0.0) =>
                {
                    Ok(self
                        .frequencies
                        .iter()
                        .zip(factors)
                        .map(|(own, factor)| own / factor)
                        .collect())
                }
                _ => Err(scaling.wrong(key, expected)),
            }
        };
        let (short, long) = (slowed("short_factor")?, slowed("long_factor")?);
        let ratio = self.max_tokens as f64 / trained;
        let factor = scaling.positive_or("factor", ratio)?;
        let default = if factor <= 1.0 {
            1.0
        } else {
            (1.0 + factor.ln() / trained.ln()).sqrt()
        };
        self.magnitude = scaling.positive_or("attention_factor", default)?;
        if !self.magnitude.is_finite() {
            return Err(scaling.wrong("original_max_position_embeddings", "a number above 1"));
        }
        self.frequencies = short;
        self.growth = Some(Growth {
            trained: trained as usize,
            beyond: Beyond::Fixed(long),
        });
        Ok(())
    }

    /// Pairs that turn often within the trained context are kept, those that hardly turn are stretched, those between
    /// are blended; and everything is turned up a little, because attention over more tokens is flatter.
    fn yarn(&mut self, spelling: &Spelling<'_>, theta: f64, rotated: usize) -> Result<()> {
        let scaling = &spelling.inside;
        let trained = spelling.trained(self.max_tokens)?;
        let ratio = self.max_tokens as f64 / trained;
        let factor = match scaling.get("factor") {
            Some(_) => factor(scaling, "factor")?,
            None if ratio > 1.0 || scaling.is_null("factor") => ratio,
            None => return Err(scaling.wrong("factor", "a number above 0")),
        };
        if theta <= 1.0 {
            return Err(scaling.unsupported("rope_theta", "numbers above 1, with yarn"));
        }
        let gain = |weight: f64| {
            if factor <= 1.0 {
                1.0
            } else {
                0.1 * weight * factor.ln() + 1.0
            }
        };
        let (mscale, of_all) = (
            scaling.number_or("mscale", 0.0)?,
            scaling.number_or("mscale_all_dim", 0.0)?,
        );
        let default = if mscale != 0.0 && of_all != 0.0 {
            gain(mscale) / gain(of_all)
        } else {
            gain(1.0)
        };
        self.magnitude = scaling.positive_or("attention_factor", default)?;
        let fast = scaling.positive_or("beta_fast", 32.0)?;
        let slow = scaling.positive_or("beta_slow", 1.0)?;
        if fast < slow {
            return Err(scaling.wrong("beta_fast", format!("a number from `beta_slow` = {slow}")));
        }
        // The dimension whose pair turns this often over the trained context.
        let dimension =
            |turns: f64| rotated as f64 * (trained / (turns * std::f64::consts::TAU)).ln() / (2.0 * theta.ln());
        let (mut low, mut high) = (dimension(fast), dimension(slow));
        if scaling.flag_or("truncate", true)? {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.0), high.min((rotated - 1) as f64));
        if low == high {
            // A step instead of a ramp.
            high += 0.001;
        }
        for (pair, frequency) in self.frequencies.iter_mut().enumerate() {
            let stretched = ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0);
            *frequency *= stretched / factor + (1.0 - stretched);
        }
        self.max_tokens = self.max_tokens.max(times(trained, factor));
        Ok(())
    }
}

/// Where a configuration keeps the options of rotary positions.
pub(super) struct Spelling<'a> {
    /// `rope_scaling` or `rope_parameters`; empty without either.
    pub(super) inside: Config,
    /// The configuration itself.
    beside: &'a Config,
}

impl<'a> Spelling<'a> {
    pub(super) fn find(beside: &'a Config, layers: RotaryLayers) -> Result<Self> {
        // An empty object is none, as in Python.
        let given = |key: &str| -> Result<Option<Config>> {
            let object = beside.object(key)?;
            Ok(object.filter(|object| object.entries().next().is_some()))
        };
        let inside = match given("rope_scaling")? {
            Some(inside) => inside,
            None => given("rope_parameters")?.unwrap_or_else(|| beside.empty()),
        };
        let inside = match layers {
            RotaryLayers::All => inside,
            RotaryLayers::Kind { name, main } => {
                if inside.entries().any(|(_, value)| value.is_object()) {
                    inside.object(name)?.unwrap_or_else(|| beside.empty())
                } else if main {
                    inside
                } else {
                    beside.empty()
                }
            }
        };
        Ok(Self { inside, beside })
    }

    /// A number above 0 by its names inside the object and beside it.
    pub(super) fn number(&self, (inside, beside): (&str, &str), default: f64) -> Result<f64> {
        match self.inside.get(inside) {
            Some(_) => self.inside.positive_or(inside, default),
            None => self.beside.positive_or(beside, default),
        }
    }

    /// The length before it was stretched.
    fn trained(&self, max_tokens: usize) -> Result<f64> {
        const KEY: &str = "original_max_position_embeddings";
        match self.beside.get(KEY) {
            Some(_) => self.beside.positive_or(KEY, 1.0),
            None => self.inside.positive_or(KEY, max_tokens as f64),
        }
    }
}

fn factor(scaling: &Config, key: &str) -> Result<f64> {
    if scaling.get(key).is_none() {
        return Err(scaling.wrong(key, "a number above 0"));
    }
    scaling.positive_or(key, 1.0)
}

/// `tokens * factor`, within the range of positions.
fn times(tokens: f64, factor: f64) -> usize {
    let stretched = (tokens * factor) as usize;
    stretched.clamp(1, u32::MAX as usize)
}

/// Long wavelengths are stretched by the factor, short ones kept, those between blended.
fn llama3(scaling: &Config, trained: f64, frequencies: &mut [f64]) -> Result<()> {
    let stretch = factor(scaling, "factor")?;
    let low = factor(scaling, "low_freq_factor")?;
    let high = factor(scaling, "high_freq_factor")?;
    if high <= low {
        return Err(scaling.wrong("high_freq_factor", format!("a number above `low_freq_factor` = {low}")));
    }
    for frequency in frequencies {
        let turns = trained * *frequency / std::f64::consts::TAU;
        let keep = ((turns - low) / (high - low)).clamp(0.0, 1.0);
        *frequency *= keep + (1.0 - keep) / stretch;
    }
    Ok(())
}
