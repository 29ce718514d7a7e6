//! Student's t and the binomial distribution, by the incomplete beta function (Press et al., Numerical Recipes, 6.4).

/// Logarithm of the gamma function of a positive number (Lanczos 1964, g = 7, nine terms): 15 digits.
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let sum = TERMS
        .iter()
        .enumerate()
        .fold(0.999_999_999_999_809_9, |sum, (i, term)| {
            sum + term / (x + i as f64 + 1.0)
        });
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// The regularized incomplete beta function.
pub(super) fn beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    // The fraction converges fast on this side; the other is its complement.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(a, b, x) / a
    } else {
        1.0 - front * fraction(b, a, 1.0 - x) / b
    }
}

/// The continued fraction of the incomplete beta function, by Lentz's method.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let safe = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut c, mut d) = (1.0, 1.0 / safe(1.0 - (a + b) * x / (a + 1.0)));
    let mut result = d;
    // Terms needed grow with the root of the larger parameter.
    let most = 200 + (20.0 * a.max(b).sqrt()) as usize;
    for m in 1..=most {
        let m = m as f64;
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / safe(1.0 + even * d);
        c = safe(1.0 + even / c);
        result *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / safe(1.0 + odd * d);
        c = safe(1.0 + odd / c);
        let step = d * c;
        result *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    result
}

/// Probability that Student's t with so many degrees of freedom is at most `t`.
pub(super) fn t_cdf(t: f64, freedom: f64) -> f64 {
    let tail = 0.5 * beta(0.5 * freedom, 0.5, freedom / (freedom + t * t));
    if t > 0.0 { 1.0 - tail } else { tail }
}

/// The value below which Student's t lies with a probability of 0.5 to 1. Bisection: exact to the last digits, and called once per
/// number of moments.
pub(super) fn t_quantile(probability: f64, freedom: f64) -> f64 {
    if !(0.5..1.0).contains(&probability) || freedom.is_nan() || freedom <= 0.0 {
        return f64::NAN;
    }
    let (mut low, mut high) = (0.0, 1.0);
    while t_cdf(high, freedom) < probability && high < 1e12 {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if t_cdf(middle, freedom) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Probability of at most `k` heads of `n` fair coins.
pub(super) fn fair_coins(k: usize, n: usize) -> f64 {
    if k >= n {
        return 1.0;
    }
    beta((n - k) as f64, k as f64 + 1.0, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_tables() {
        // scipy.stats.t.ppf(0.975, freedom); one degree of freedom is tan(0.475 pi), two have a closed form.
        for (freedom, expected) in [
            (1.0, (0.475 * std::f64::consts::PI).tan()),
            (2.0, 0.95 / (2.0 * 0.975 * 0.025_f64).sqrt()),
            (3.0, 3.182_446_305_284_263),
            (9.0, 2.262_157_162_740_992),
            (99.0, 1.984_216_951_508_682),
        ] {
            let found = t_quantile(0.975, freedom);
            assert!((found / expected - 1.0).abs() < 1e-10, "{freedom}: {found} {expected}");
        }
    }

    #[test]
    fn coins_add_up() {
        let choose = |n: u64, k: u64| (0..k).fold(1.0, |product, i| product * (n - i) as f64 / (i + 1) as f64);
        for n in [1_u64, 2, 7, 24, 50] {
            let mut sum = 0.0;
            for k in 0..=n {
                sum += choose(n, k) / 2.0_f64.powi(n as i32);
                let found = fair_coins(k as usize, n as usize);
                assert!((found - sum).abs() < 1e-12, "{k} of {n}: {found} {sum}");
            }
        }
    }
}
