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

/// 2^-(k/256) in Q32, and 2^-(k/65,536): a fraction is one of each, multiplied.
const COARSE: [u64; 256] = powers(8);
const FINE: [u64; 256] = powers(0);

/// 2^-(k · 2^shift / 65,536) for k = 0..256, in Q32: a product of roots of one half.
const fn powers(shift: u32) -> [u64; 256] {
    // 2^-(2^-bit) in Q64, for bit = 1..=16: each is the root of the one before.
    let mut roots = [0u128; 17];
    roots[0] = 1 << 63;
    let mut bit = 1;
    while bit <= 16 {
        roots[bit] = (roots[bit - 1] << 64).isqrt();
        bit += 1;
    }
    let mut table = [0; 256];
    let mut k = 0;
    while k < 256 {
        let mut value: u128 = u64::MAX as u128;
        let mut bit = 0;
        while bit < 8 {
            if k & (1 << bit) != 0 {
                value = (value * roots[16 - bit - shift as usize]) >> 64;
            }
            bit += 1;
        }
        table[k] = ((value + (1 << 31)) >> 32) as u64;
        k += 1;
    }
    table
}

/// 65,536 · sin(2πk/24).
const SINE: [i32; 25] = [
    0, 16_962, 32_768, 46_341, 56_756, 63_303, 65_536, 63_303, 56_756, 46_341, 32_768, 16_962, 0,
    -16_962, -32_768, -46_341, -56_756, -63_303, -65_536, -63_303, -56_756, -46_341, -32_768,
    -16_962, 0,
];

/// log2 of a whole number in Q16, within two units; 0 counts as 1.
pub fn log2(x: u64) -> i32 {
    let x = x.max(1);
    let whole = x.ilog2();
    // The mantissa in Q31, in [1, 2): squared, its logarithm doubles, and a carry is the next bit.
    let mut mantissa = if whole > 31 { x >> (whole - 31) } else { x << (31 - whole) };
    let mut log = whole as i32;
    for _ in 0..16 {
        let square = (mantissa * mantissa) >> 31;
        let carry = square >> 32;
        log = (log << 1) | carry as i32;
        mantissa = square >> carry;
    }
    log
}

/// log2(1 + x) in Q16, of x in Q16.
pub fn log2_1p(x: u64) -> i32 {
    log2(x.saturating_add(ONE as u64)) - 16 * ONE
}

/// 2^-x in Q32, of x in Q16: within four units of the last place.
pub fn exp2_neg(x: u64) -> u64 {
    let whole = x >> 16;
    if whole > 32 {
        return 0;
    }
    let coarse = COARSE[(x >> 8) as usize & 0xff];
    let fine = FINE[x as usize & 0xff];
    ((u128::from(coarse) * u128::from(fine)) >> (32 + whole)) as u64
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
