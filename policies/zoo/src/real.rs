//! Logarithm and square root, which `core` does not have.
//!
//! Both use nothing but the basic operations, which IEEE 754 and WebAssembly define
//! to the last bit: the same on every machine, in the component and in native tests.

use core::f64::consts::{LN_2, SQRT_2};

const MANTISSA_BITS: u32 = 52;
const EXPONENT_BIAS: u64 = 1023;
/// Terms of the series: the first that is left out is below 2^-60 of the sum.
const LN_TERMS: u32 = 12;
/// The first guess is right to 7 %; each step squares that.
const NEWTON_STEPS: u32 = 5;

/// The natural logarithm of a normal number above 0.
pub fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> MANTISSA_BITS) as i64 - EXPONENT_BIAS as i64) as f64;
    let mantissa_mask = (1_u64 << MANTISSA_BITS) - 1;
    let mut mantissa = f64::from_bits(bits & mantissa_mask | EXPONENT_BIAS << MANTISSA_BITS);
    if mantissa > SQRT_2 {
        mantissa /= 2.0;
        exponent += 1.0;
    }
    // ln m = 2 artanh s, a series that converges fast for m around 1.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let mut sum = 0.0;
    for term in (0..LN_TERMS).rev() {
        sum = sum * s * s + 1.0 / f64::from(2 * term + 1);
    }
    exponent * LN_2 + 2.0 * s * sum
}

/// The square root of a number that is not below 0.
pub fn sqrt(x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    // Half of the exponent is nearly the root.
    let mut root = f64::from_bits((x.to_bits() + (EXPONENT_BIAS << MANTISSA_BITS)) >> 1);
    for _ in 0..NEWTON_STEPS {
        root = (root + x / root) / 2.0;
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From 1e-12 to 1e12, 40 values in each decade.
    fn values() -> impl Iterator<Item = f64> {
        (-480..=480).map(|step| 10_f64.powf(f64::from(step) / 40.0))
    }

    #[test]
    fn the_logarithm_is_that_of_the_standard_library() {
        for x in values().chain([1.0, SQRT_2, 2.0, 1.0 - 1e-8, 1.0 + 1e-15]) {
            let (ours, theirs) = (ln(x), x.ln());
            let error = (ours - theirs).abs();
            assert!(error <= 4e-15 * theirs.abs().max(0.1), "{x}: {ours} is not {theirs}");
        }
    }

    #[test]
    fn the_root_is_that_of_the_standard_library() {
        for x in values() {
            let (ours, theirs) = (sqrt(x), x.sqrt());
            assert!((ours - theirs).abs() <= 4e-16 * theirs, "{x}: {ours} is not {theirs}");
        }
        assert_eq!((sqrt(0.0), sqrt(1.0), sqrt(250_000.0)), (0.0, 1.0, 500.0));
    }
}
