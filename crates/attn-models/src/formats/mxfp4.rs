//! MXFP4: blocks of 32 numbers of 4 bits that share a power of 2.
//!
//! Open Compute Project 2023, "OCP Microscaling Formats (MX) Specification 1.0": the numbers are E2M1 (section 5.3.3), the
//! scales E8M0 (section 5.4.1), of which 255 is no number.
//!
//! GPT-OSS keeps the two apart, as bytes: `NAME_blocks` `[.., 16]`, the first of two numbers in the lower half of its byte, and
//! `NAME_scales` `[..]`.

use rayon::prelude::*;

/// Bytes of a block.
pub(crate) const BYTES: usize = 16;
/// Numbers of a block.
pub(crate) const NUMBERS: usize = 32;

/// Numbers by their lower three bits; the fourth is the sign.
const MAGNITUDES: [f64; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];

/// The numbers of some blocks, block by block; `None` unless there are as many scales. A scale that is no number gives NaN.
pub(crate) fn widen(blocks: &[u8], scales: &[u8]) -> Option<Vec<f32>> {
    let (blocks, rest) = blocks.as_chunks::<BYTES>();
    if !rest.is_empty() || blocks.len() != scales.len() {
        return None;
    }
    let mut values = vec![0.0; blocks.len() * NUMBERS];
    let (out, _) = values.as_chunks_mut::<NUMBERS>();
    out.par_iter_mut()
        .zip(blocks.par_iter().zip(scales))
        .with_min_len(1 << 10)
        .for_each(|(out, (block, &scale))| {
            let factor = match scale {
                u8::MAX => f64::NAN,
                exponent => 2_f64.powi(i32::from(exponent) - 127),
            };
            for (pair, byte) in out.as_chunks_mut::<2>().0.iter_mut().zip(block) {
                *pair = [byte & 15, byte >> 4].map(|bits| number(bits, factor));
            }
        });
    Some(values)
}

fn number(bits: u8, factor: f64) -> f32 {
    let magnitude = MAGNITUDES[usize::from(bits & 7)] * factor;
    (if bits & 8 == 0 { magnitude } else { -magnitude }) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand, from the tables of the specification.
    #[test]
    fn numbers_are_those_of_the_specification() {
        let mut block = [0_u8; BYTES];
        // 0.5, 1; 1.5, 2; 3, 4; 6, -0.5; -6, 0.
        block[..5].copy_from_slice(&[0x21, 0x43, 0x65, 0x97, 0x0f]);
        let first = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.5, -6.0, 0.0];
        for (scale, factor) in [(127, 1.0), (128, 2.0), (124, 0.125), (200, 2_f32.powi(73))] {
            let found = widen(&block, &[scale]).unwrap();
            let wanted: Vec<f32> = first.iter().map(|value| value * factor).collect();
            assert_eq!(found[..10], wanted[..]);
            assert_eq!(found[10..], [0.0; 22]);
        }
        // The smallest scale is below the smallest normal number.
        assert_eq!(widen(&block, &[0]).unwrap()[1], f32::from_bits(1 << 22));
        assert!(widen(&block, &[255]).unwrap()[0].is_nan());
        assert!(widen(&block, &[254]).unwrap()[0].is_finite());
        assert!(widen(&block, &[254]).unwrap()[6].is_infinite());
    }

    #[test]
    fn blocks_and_scales_go_together() {
        assert_eq!(widen(&[0; 17], &[1]), None);
        assert_eq!(widen(&[0; 32], &[1]), None);
        assert_eq!(widen(&[], &[]), Some(Vec::new()));
        let two = widen(&[0x22; 32], &[127, 128]).unwrap();
        assert_eq!((two[0], two[31], two[32], two[63]), (1.0, 1.0, 2.0, 2.0));
    }
}
