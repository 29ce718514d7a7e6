//! Arithmetic on rows of numbers.

/// The place of the largest number, of equals the first; `None` of nothing.
pub(crate) fn likeliest(row: &[f32]) -> Option<usize> {
    (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b]))
}

/// The cosine of the angle between two vectors; `None` where one has no length.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> Option<f64> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    (lengths > 0.0).then(|| dot(a, b) / lengths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equals_the_first_is_likeliest() {
        assert_eq!((likeliest(&[1.0, 2.0, 2.0]), likeliest(&[])), (Some(1), None));
    }

    #[test]
    fn cosines_are_those_of_the_plane() {
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 2.0]), Some(0.0));
        let found = cosine(&[1.0, 0.0], &[3.0, 3.0]);
        assert!(found.is_some_and(|found| (found - 0.5_f64.sqrt()).abs() < 1e-12));
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 0.0]), None);
    }
}
