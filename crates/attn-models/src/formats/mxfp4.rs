//! MXFP4: blocks of 32 numbers of 4 bits that share a power of 2.
//!
//! Open Compute Project 2023, "OCP Microscaling Formats (MX) Specification 1.0": the numbers are E2M1 (section 5.3.3), the
//! scales E8M0 (section 5.4.1), of which 255 is no number.
//!
//! GPT-OSS keeps the two apart, as bytes: `NAME_blocks` `[.., 16]`, the first of two numbers in the lower half of its byte, and
//! `NAME_scales` `[..]`. GGML has the scale before its block, and the first 16 numbers in the lower halves of the bytes.

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
            let factor = factor(scale);
            for (pair, byte) in out.as_chunks_mut::<2>().0.iter_mut().zip(block) {
                *pair = [byte & 15, byte >> 4].map(|bits| number(bits, factor));
            }
        });
    Some(values)
}

/// The same of blocks as GGML has them; `None` for a part of one.
pub(crate) fn widen_together(bytes: &[u8]) -> Option<Vec<f32>> {
    let (blocks, rest) = bytes.as_chunks::<{ BYTES + 1 }>();
    if !rest.is_empty() {
        return None;
    }
    let mut values = vec![0.0; blocks.len() * NUMBERS];
    let (out, _) = values.as_chunks_mut::<NUMBERS>();
    out.par_iter_mut()
        .zip(blocks)
        .with_min_len(1 << 10)
        .for_each(|(out, &[scale, ref block @ ..])| {
            let factor = factor(scale);
            let (first, last) = out.split_at_mut(BYTES);
            for ((first, last), byte) in first.iter_mut().zip(last).zip(block) {
                (*first, *last) = (number(byte & 15, factor), number(byte >> 4, factor));
            }
        });
    Some(values)
}

fn factor(scale: u8) -> f64 {
    match scale {
        u8::MAX => f64::NAN,
        exponent => 2_f64.powi(i32::from(exponent) - 127),
    }
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

    /// Values computed with numpy: `m[q & 15], m[q >> 4]` of `q = (37 i + 11) mod 256`, times `2^(e - 127)`.
    #[test]
    fn blocks_of_ggml_have_their_scale_before_them() {
        let block = |scale: u8| {
            let bytes = (0..16_u32).map(|at| ((37 * at + 11) % 256) as u8);
            std::iter::once(scale).chain(bytes)
        };
        let bytes: Vec<u8> = block(127).chain(block(125)).collect();
        let found = widen_together(&bytes).unwrap();
        let wanted = [
            -1.5, 0.0, 3.0, -1.0, -6.0, 2.0, -0.5, -4.0, 1.5, -0.0, -3.0, 1.0, 6.0, -2.0, 0.5, 4.0, 0.0, 1.5, 3.0, 6.0,
            -0.5, -2.0, -4.0, 0.0, 1.5, 3.0, 6.0, -1.0, -2.0, -4.0, 0.5, 1.5,
        ];
        assert_eq!(found[..32], wanted);
        assert_eq!(found[32..], wanted.map(|value| value / 4.0));
        assert_eq!(widen_together(&bytes[1..]), None);
        assert_eq!(widen_together(&[]), Some(Vec::new()));
        assert!(widen_together(&[255; 17]).unwrap().iter().all(|value| value.is_nan()));
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
