//! The rules by which NCSNv2 chooses its noise levels (Song and Ermon 2020, arXiv 2006.09011).

/// How much of one level's noise, in `dimension` dimensions, the next level has seen, when the noise falls by the
/// factor `ratio` from level to level: `Phi(sqrt(2D)(g - 1) + 3g) - Phi(sqrt(2D)(g - 1) - 3g)`.
#[must_use]
pub fn overlap(ratio: f64, dimension: usize) -> f64 {
    let shift = (2.0 * dimension as f64).sqrt() * (ratio - 1.0);
    normal_cdf(shift + 3.0 * ratio) - normal_cdf(shift - 3.0 * ratio)
}

/// Technique 2: the ratio of neighbouring levels whose [`overlap`] is `wanted` (0.5 in the paper). The published
/// settings have overlaps near 0.567.
#[must_use]
pub fn ratio_for_overlap(wanted: f64, dimension: usize) -> f64 {
    // The overlap first rises with the ratio (the window widens), then falls: the root wanted is on the falling side.
    let (mut low, mut high) = (1.0, 2.0);
    while overlap(high, dimension) > wanted && high < 1e6 {
        low = high;
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if overlap(middle, dimension) > wanted {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// The number of geometric levels from `sigma_max` to `sigma_min` whose ratio is nearest to `ratio`.
#[must_use]
pub fn level_count(sigma_max: f64, sigma_min: f64, ratio: f64) -> usize {
    (libm::log(sigma_max / sigma_min) / libm::log(ratio)).round().max(1.0) as usize + 1
}

/// Technique 4: the ratio of the samples' variance to the level's after `steps` Langevin steps of size
/// `epsilon * (sigma / sigma_min)^2`, coming from a level `ratio` times as noisy; 1 is best.
#[must_use]
pub fn variance_ratio(epsilon: f64, steps: u32, ratio: f64, sigma_min: f64) -> f64 {
    let shrink = 1.0 - epsilon / sigma_min.powi(2);
    // 2 e / (s^2 - s^2 (1 - e / s^2)^2), with the difference of squares written out.
    let fixed = 2.0 / (1.0 + shrink);
    shrink.powi(2 * steps.min(1 << 20) as i32) * (ratio.powi(2) - fixed) + fixed
}

/// Technique 4: the step `epsilon` whose [`variance_ratio`] is closest to 1.
#[must_use]
pub fn best_step(steps: u32, ratio: f64, sigma_min: f64) -> f64 {
    let square = sigma_min.powi(2);
    let miss = |share: f64| (variance_ratio(share * square, steps, ratio, sigma_min) - 1.0).abs();
    // A scan brackets the smallest of possibly several minima, golden-section search refines it.
    let grid: Vec<f64> = (1..1000).map(|i| f64::from(i) / 1000.0).collect();
    let best = grid.iter().copied().min_by(|a, b| miss(*a).total_cmp(&miss(*b))).unwrap_or(0.5);
    let (mut low, mut high) = (best - 0.001, best + 0.001);
    let golden = 0.5 * (5.0_f64.sqrt() - 1.0);
    for _ in 0..80 {
        let (a, b) = (high - golden * (high - low), low + golden * (high - low));
        if miss(a) < miss(b) {
            high = b;
        } else {
            low = a;
        }
    }
    0.5 * (low + high) * square
}

/// The standard normal distribution function.
#[must_use]
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

/// Numerators and denominators of [`normal_quantile`], each from the constant on: in the middle, in the tails, and far out
/// in them.
const QUANTILE: [[[f64; 8]; 2]; 3] = [
    [
        [
            3.387_132_872_796_366_5,
            133.141_667_891_784_38,
            1_971.590_950_306_551_3,
            13_731.693_765_509_46,
            45_921.953_931_549_87,
            67_265.770_927_008_7,
            33_430.575_583_588_13,
            2_509.080_928_730_122_7,
        ],
        [
            1.0,
            42.313_330_701_600_91,
            687.187_007_492_057_9,
            5_394.196_021_424_751,
            21_213.794_301_586_597,
            39_307.895_800_092_71,
            28_729.085_735_721_943,
            5_226.495_278_852_854,
        ],
    ],
    [
        [
            1.423_437_110_749_683_5,
            4.630_337_846_156_546,
            5.769_497_221_460_691,
            3.647_848_324_763_204_5,
            1.270_458_252_452_368_4,
            0.241_780_725_177_450_6,
            0.022_723_844_989_269_184,
            0.000_774_545_014_278_341_4,
        ],
        [
            1.0,
            2.053_191_626_637_759,
            1.676_384_830_183_803_8,
            0.689_767_334_985_1,
            0.148_103_976_427_480_08,
            0.015_198_666_563_616_457,
            0.000_547_593_808_499_534_5,
            1.050_750_071_644_416_9e-9,
        ],
    ],
    [
        [
            6.657_904_643_501_103,
            5.463_784_911_164_114,
            1.784_826_539_917_291_3,
            0.296_560_571_828_504_87,
            0.026_532_189_526_576_124,
            0.001_242_660_947_388_078_4,
            2.711_555_568_743_487_6e-5,
            2.010_334_399_292_288_1e-7,
        ],
        [
            1.0,
            0.599_832_206_555_888,
            0.136_929_880_922_735_8,
            0.014_875_361_290_850_615,
            0.000_786_869_131_145_613_3,
            1.846_318_317_510_054_8e-5,
            1.421_511_758_316_446e-7,
            2.044_263_103_389_939_7e-15,
        ],
    ],
];

/// The inverse of [`normal_cdf`] to the last digits, by ratios of polynomials (Wichura 1988, algorithm AS 241). Arguments
/// are moved into `[1e-300, 1 - 1e-16]`.
#[must_use]
pub fn normal_quantile(p: f64) -> f64 {
    let p = p.clamp(1e-300, 1.0 - 1e-16);
    let middle = p - 0.5;
    let (place, x, factor) = if middle.abs() <= 0.425 {
        (0, 0.425 * 0.425 - middle * middle, middle)
    } else {
        let tail = (-libm::log(p.min(1.0 - p))).sqrt();
        let (place, begin) = if tail <= 5.0 { (1, 1.6) } else { (2, 5.0) };
        (place, tail - begin, middle.signum())
    };
    let [over, under] = QUANTILE[place].map(|k| k.iter().rev().fold(0.0, |sum, k| sum * x + k));
    factor * over / under
}
