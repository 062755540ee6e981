//! Fixed-point arithmetic: logarithm, decay, logistic, sine.
//!
//! Q16 is a signed number times 65,536. Each function says its error; all are monotone where the
//! function that they stand for is.

/// One in Q16.
pub const ONE: i32 = 1 << 16;
/// Parts in a whole probability.
pub const MILLION: u32 = 1_000_000;
/// log2(e) in Q16.
const LOG2_E: u64 = 94_548;

/// 2^-(2^-k) for k = 1..=16, in Q64: each is the root of the one before.
const ROOTS: [u64; 16] = {
    let mut roots = [0; 16];
    let mut last: u128 = 1 << 63;
    let mut k = 0;
    while k < 16 {
        last = (last << 64).isqrt();
        roots[k] = last as u64;
        k += 1;
    }
    roots
};

/// 65,536 · sin(2πk/24).
const SINE: [i32; 25] = [
    0, 16_962, 32_768, 46_341, 56_756, 63_303, 65_536, 63_303, 56_756, 46_341, 32_768, 16_962, 0,
    -16_962, -32_768, -46_341, -56_756, -63_303, -65_536, -63_303, -56_756, -46_341, -32_768,
    -16_962, 0,
];

/// log2 of a whole number in Q16, rounded down; 0 counts as 1.
pub fn log2(x: u64) -> i32 {
    let x = x.max(1);
    let whole = x.ilog2();
    // The mantissa in Q63, in [1, 2).
    let mut mantissa = x << (63 - whole);
    let mut log = whole as i32;
    for _ in 0..16 {
        let square = (u128::from(mantissa) * u128::from(mantissa)) >> 63;
        let carry = square >> 64 != 0;
        log = (log << 1) | i32::from(carry);
        mantissa = if carry { (square >> 1) as u64 } else { square as u64 };
    }
    log
}

/// log2(1 + x) in Q16, of x in Q16.
pub fn log2_1p(x: u64) -> i32 {
    log2(x.saturating_add(ONE as u64)) - 16 * ONE
}

/// 2^-x in Q32, of x in Q16: within 20 units of the last place.
pub fn exp2_neg(x: u64) -> u64 {
    let whole = x >> 16;
    if whole > 32 {
        return 0;
    }
    let mut value: u64 = 1 << 32;
    for (k, root) in ROOTS.iter().enumerate() {
        if x & (1 << (15 - k)) != 0 {
            value = ((u128::from(value) * u128::from(*root)) >> 64) as u64;
        }
    }
    value >> whole
}

/// 1 / (1 + e^-x) in parts per million, of x in Q16: within 10 ppm, and never 0 or a million.
pub fn logistic_ppm(x: i32) -> u32 {
    let powers = (u64::from(x.unsigned_abs()) * LOG2_E) >> 16;
    let small = exp2_neg(powers);
    let whole = (1u64 << 32) + small;
    let tail = ((small * u64::from(MILLION) + whole / 2) / whole) as u32;
    let tail = tail.max(1);
    if x < 0 { tail } else { MILLION - tail }
}

/// log2(part / (whole - part)) in Q16: what the logistic undoes. Both sides count as at least 1.
pub fn log2_odds(part: u64, whole: u64) -> i32 {
    log2(part) - log2(whole.saturating_sub(part))
}

/// sin(2π · turn) in Q16, of a turn in Q16: straight lines between 24 points, within 600 units.
pub fn sine(turn: u32) -> i32 {
    let at = (turn & 0xffff) * 24;
    let (k, rest) = ((at >> 16) as usize, (at & 0xffff) as i64);
    let (from, to) = (i64::from(SINE[k]), i64::from(SINE[k + 1]));
    (from + (((to - from) * rest) >> 16)) as i32
}

/// cos(2π · turn) in Q16, as [`sine`].
pub fn cosine(turn: u32) -> i32 {
    sine((turn & 0xffff) + (1 << 14))
}

/// A 64-bit finaliser (Stafford's mix 13): spreads the bits of an id over a table.
pub fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The id of a name: FNV-1a, mixed. Collisions cost accuracy, never safety.
pub fn name_id(name: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    mix(name.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// The id of two ids in this order.
pub fn pair_id(first: u64, second: u64) -> u64 {
    mix(first.rotate_left(23) ^ mix(second ^ 0x9e37_79b9_7f4a_7c15))
}
