//! The core's fixed-point functions against floats, which the core itself must not name.

use proptest::prelude::*;
use vatic_core::conflict::fixed;

fn q16(value: i32) -> f64 {
    f64::from(value) / 65_536.0
}

proptest! {
    #[test]
    fn logistic_is_within_ten_millionths(x in prop_oneof![any::<i32>(), -2_000_000..2_000_000i32]) {
        let exact = 1e6 / (1.0 + (-q16(x)).exp());
        let exact = exact.clamp(1.0, 999_999.0);
        let said = f64::from(fixed::logistic_ppm(x));
        prop_assert!((said - exact).abs() <= 10.0, "{said} for {exact}");
    }

    #[test]
    fn logarithm_is_within_two_units(x in 1u64..) {
        let exact = (x as f64).log2();
        prop_assert!((q16(fixed::log2(x)) - exact).abs() <= 2.0 / 65_536.0);
    }

    #[test]
    fn logarithm_of_one_more_is_within_two_units(x in 0u64..1 << 52) {
        let exact = (x as f64 / 65_536.0).ln_1p() / std::f64::consts::LN_2;
        prop_assert!((q16(fixed::log2_1p(x)) - exact).abs() <= 2.0 / 65_536.0);
    }

    #[test]
    fn decay_is_within_four_units_of_the_last_place(x in 0u64..1 << 22) {
        let exact = (-(x as f64) / 65_536.0).exp2() * 2f64.powi(32);
        prop_assert!((fixed::exp2_neg(x) as f64 - exact).abs() <= 4.0);
    }

    #[test]
    fn sine_and_cosine_are_within_a_hundredth(turn in 0u32..1 << 20) {
        let exact = std::f64::consts::TAU * f64::from(turn) / 65_536.0;
        prop_assert!((q16(fixed::sine(turn)) - exact.sin()).abs() < 0.01);
        prop_assert!((q16(fixed::cosine(turn)) - exact.cos()).abs() < 0.01);
    }

    #[test]
    fn odds_of_a_share_are_within_four_units(part in 1u64..1 << 40, rest in 1u64..1 << 40) {
        let exact = (part as f64 / rest as f64).log2();
        prop_assert!((q16(fixed::log2_odds(part, part + rest)) - exact).abs() <= 4.0 / 65_536.0);
    }
}
