//! Encoders of sound (Baevski et al. 2020): convolutions over samples, then a transformer over frames.

mod convolutions;
pub(super) mod wav2vec2;
