//! Search for values that are NaN or infinite.

/// Values looked at between two decisions; within such a block the search has no branch, so it runs at memory speed.
const BLOCK: usize = 4096;
/// The exponent bits of an `f32`: all of them are set in NaN and in infinity.
const EXPONENT: u32 = 0x7f80_0000;

/// Index of the first value that is NaN or infinite.
pub(super) fn first_not_finite(values: &[f32]) -> Option<usize> {
    for (block, values) in values.chunks(BLOCK).enumerate() {
        let largest = values
            .iter()
            .fold(0, |most, value| most.max(value.to_bits() & EXPONENT));
        if largest == EXPONENT {
            return values
                .iter()
                .position(|value| !value.is_finite())
                .map(|index| block * BLOCK + index);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_found() {
        let mut values = vec![f32::MAX; 10_000];
        values[77] = -0.0;
        assert_eq!(first_not_finite(&values), None);
        values[9_001] = f32::NEG_INFINITY;
        values[9_500] = f32::NAN;
        assert_eq!(first_not_finite(&values), Some(9_001));
        values[4_096] = f32::NAN;
        assert_eq!(first_not_finite(&values), Some(4_096));
        assert_eq!(first_not_finite(&[]), None);
    }
}
