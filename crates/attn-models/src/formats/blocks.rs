//! Quantized blocks of GGML, widened to f32: by candle, but for the one type that it does not have.
//!
//! A block is a few small integers with a scale (and an offset) that they share: 32 numbers in the older types
//! (`Q4_0` to `Q8_1`) and in `MXFP4`, 256 in the "K" types. Definitions: `ggml-common.h` of
//! <https://github.com/ggml-org/ggml>.

use std::borrow::Cow;

use attn_core::third_party::guard;
use candle_core::{CpuStorage, quantized::GgmlDType};
use rayon::prelude::*;

use super::mxfp4;

/// Blocks that one thread widens at a time.
const PIECE: usize = 1 << 12;

/// A type of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    /// One that candle widens.
    Ggml(GgmlDType),
    /// The experts of GPT-OSS.
    Mxfp4,
}

impl Block {
    /// How many numbers a block has, and how many bytes.
    pub(crate) fn size(self) -> (usize, usize) {
        match self {
            Self::Ggml(kind) => (kind.block_size(), kind.type_size()),
            Self::Mxfp4 => (mxfp4::NUMBERS, mxfp4::BYTES + 1),
        }
    }

    /// The numbers of whole blocks.
    ///
    /// # Errors
    /// What candle says, or that the bytes are no whole blocks.
    pub(crate) fn widen(self, bytes: &[u8]) -> Result<Vec<f32>, String> {
        match self {
            Self::Ggml(kind) => widen(kind, bytes),
            Self::Mxfp4 => mxfp4::widen_together(bytes).ok_or_else(|| partial(bytes, self.size().1)),
        }
    }
}

/// The name that GGML has for it.
impl std::fmt::Display for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::Ggml(kind) = self else {
            return f.write_str("MXFP4");
        };
        // candle writes `Q4K` for `Q4_K`.
        let name = format!("{kind:?}");
        match name.strip_suffix('K') {
            Some(start) => write!(f, "{start}_K"),
            None => f.write_str(&name),
        }
    }
}

fn partial(bytes: &[u8], size: usize) -> String {
    format!("{} bytes, no multiple of {size}", bytes.len())
}

fn widen(kind: GgmlDType, bytes: &[u8]) -> Result<Vec<f32>, String> {
    let (numbers, size) = Block::Ggml(kind).size();
    if !bytes.len().is_multiple_of(size) {
        return Err(partial(bytes, size));
    }
    let widened = |(piece, out): (&[u8], &mut [f32])| -> Result<(), String> {
        // candle reads blocks in place and asks that they are aligned, which a file need not be.
        let mut words = vec![0_u64; piece.len().div_ceil(size_of::<u64>())];
        let aligned = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..piece.len()];
        aligned.copy_from_slice(piece);
        let values = guard("candle", || {
            kind.from_data(Cow::Borrowed(&*aligned)).dequantize(out.len())
        })?;
        match values {
            Ok(CpuStorage::F32(values)) => out.copy_from_slice(&values),
            Ok(_) => return Err("numbers other than f32".to_owned()),
            Err(error) => return Err(error.to_string()),
        }
        Ok(())
    };
    let mut values = vec![0.0; bytes.len() / size * numbers];
    let pieces = bytes
        .par_chunks(PIECE * size)
        .zip(values.par_chunks_mut(PIECE * numbers));
    pieces.map(widened).collect::<Result<(), String>>()?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor, quantized::QTensor};

    use super::*;

    #[test]
    fn blocks_at_any_place_are_near_what_they_were_made_from() {
        // Half a step between the numbers of a block over a range of 2; K types round their scales as well.
        let values: Vec<f32> = (0..3 * 4096 * 32).map(|at| (at as f32 * 0.37).sin()).collect();
        let tensor = Tensor::from_vec(values.clone(), (3 * 512, 256), &Device::Cpu).unwrap();
        for (kind, bound) in [
            (GgmlDType::Q4_0, 0.13),
            (GgmlDType::Q4_1, 0.07),
            (GgmlDType::Q5_0, 0.07),
            (GgmlDType::Q5_1, 0.04),
            (GgmlDType::Q8_0, 0.005),
            (GgmlDType::Q2K, 0.45),
            (GgmlDType::Q3K, 0.3),
            (GgmlDType::Q4K, 0.1),
            (GgmlDType::Q5K, 0.06),
            (GgmlDType::Q6K, 0.04),
            (GgmlDType::Q8K, 0.01),
        ] {
            let blocks = QTensor::quantize(&tensor, kind).unwrap().data().unwrap().into_owned();
            for shift in [0, 1] {
                let mut moved = vec![0; shift];
                moved.extend(&blocks);
                let widened = widen(kind, &moved[shift..]).unwrap();
                let pairs = widened.iter().zip(&values);
                let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(widened.len() == values.len() && worst <= bound, "{kind:?}: {worst}");
            }
            assert!(widen(kind, &blocks[1..]).is_err());
        }
        let names = [Block::Ggml(GgmlDType::Q4K), Block::Ggml(GgmlDType::Q8_0), Block::Mxfp4];
        assert_eq!(names.map(|block| block.to_string()), ["Q4_K", "Q8_0", "MXFP4"]);
    }
}
