//! The layout of ncsn and ncsnv2 (Song and Ermon 2019, 2020): stages `res1`, `res2`, … and as many blocks of refinement
//! `refine1`, `refine2`, …; and the noise levels beside them.

use super::error::CheckpointError;
use super::names::File;
use super::noise_levels::{NoiseLevels, SIGMAS};
use crate::diffusion::convention::{Convention, TimeConvention};
use crate::nn::unet::{REFINE_SHAPES, Refine, Style, UNetConfig, halvings};

/// Height and width of the images of one channel that such networks were published for.
const GREY_SIDE: u32 = 28;
/// Numbers of the stages of the network for 256 pixels, which has one more than that for 128.
const DEEPEST_STAGES: [usize; 6] = [1, 2, 3, 31, 4, 5];
/// Numbers of its blocks of refinement.
const DEEPEST_BLOCKS: [usize; 6] = [1, 2, 31, 3, 4, 5];

/// Its name of this project's parameter `name`, in a network of so many stages.
pub fn name(name: &str, stages: usize) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let number = |index: &str, deepest: [usize; 6]| {
        let index = index.parse::<usize>().ok()?;
        if stages == deepest.len() { deepest.get(index).copied() } else { index.checked_add(1) }
    };
    Some(match &parts[..] {
        ["sigmas", _] => SIGMAS.to_owned(),
        ["stages", stage, block, layer, rest @ ..] => {
            // Means of four pixels are in one layer with what comes before them.
            let halves = (1..=halvings(stages)).contains(&stage.parse().ok()?)
                && *block == "0"
                && matches!(*layer, "conv2" | "shortcut");
            let inner = if halves { ".conv" } else { "" };
            format!("res{}.{block}.{layer}{inner}.{}", number(stage, DEEPEST_STAGES)?, rest.join("."))
        }
        ["refine", stage, part, rest @ ..] => {
            let stage = number(stage, DEEPEST_BLOCKS)?;
            // Convolutions of a chain are numbered by block and place in it, both from 1.
            let chained = |unit: &str, layer: &str, rest: &[&str]| {
                let unit: usize = unit.parse().ok()?;
                Some(format!("{}_{}_{layer}.{}", unit / 2 + 1, unit % 2 + 1, rest.join(".")))
            };
            match (*part, rest) {
                ("adapt", [input, unit, layer, rest @ ..]) => {
                    format!("refine{stage}.adapt_convs.{input}.{}", chained(unit, layer, rest)?)
                }
                ("output", [unit, layer, rest @ ..]) => {
                    format!("refine{stage}.output_convs.{}", chained(unit, layer, rest)?)
                }
                ("merge" | "pool", [unit, layer, rest @ ..]) => {
                    let list = if *part == "merge" { "msf" } else { "crp" };
                    format!("refine{stage}.{list}.{layer}s.{unit}.{}", rest.join("."))
                }
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// Whether a tensor of this name is nothing that such a network computes with.
pub fn is_idle(name: &str) -> bool {
    name == SIGMAS
}

/// The shape of the network, from its ends and the names of its stages; whether the rest agrees is seen when it is loaded.
pub fn infer(file: &File) -> Result<UNetConfig, CheckpointError> {
    let (channels, image_channels) = (file.length("begin_conv.weight", 0)?, file.length("begin_conv.weight", 1)?);
    let levels =
        if file.shape("normalizer.embed.weight").is_ok() { file.length("normalizer.embed.weight", 0)? } else { 0 };
    // A stage more than the network before it has; in this project's own files by this project's names.
    let has = |names: [&str; 2]| names.iter().any(|name| file.shape(&format!("{name}.0.conv1.weight")).is_ok());
    let shape = usize::from(has(["res5", "stages.4"])) + usize::from(has(["res31", "stages.5"]));
    let multipliers = REFINE_SHAPES[shape].to_vec();
    Ok(UNetConfig { image_channels, multipliers, ..UNetConfig::refine(Refine { levels }, channels) })
}

/// The convention of such networks: the score times sigma, told its logarithm or nothing, for images that are between 0 and 1
/// before the network centres them.
pub fn convention(style: Style) -> Convention {
    let told = style.refine().is_some_and(|refine| refine.levels > 0);
    if told { Convention::ve() } else { Convention { time: TimeConvention::None, ..Convention::ve() } }
}

/// How a network of Song and Ermon 2020 is sampled as published, for images between 0 and 1.
struct Published {
    /// Height and width of its images.
    side: u32,
    levels: u32,
    largest: f64,
    /// Langevin steps a level.
    steps: u32,
    /// Their size at the smallest level.
    rate: f64,
}

/// The smallest level of all of them.
const SMALLEST: f64 = 0.01;

impl Published {
    /// CIFAR-10, CelebA, LSUN's churches, its bedrooms and towers, and FFHQ.
    const ALL: [Self; 5] = [
        Self { side: 32, levels: 232, largest: 50.0, steps: 5, rate: 6.2e-6 },
        Self { side: 64, levels: 500, largest: 90.0, steps: 5, rate: 3.3e-6 },
        Self { side: 96, levels: 788, largest: 140.0, steps: 4, rate: 4.9e-6 },
        Self { side: 128, levels: 1086, largest: 190.0, steps: 3, rate: 1.8e-6 },
        Self { side: 256, levels: 2311, largest: 348.0, steps: 3, rate: 0.9e-6 },
    ];

    /// That of so many levels, or else the one whose network has so many stages.
    fn of(levels: Option<NoiseLevels>, stages: usize) -> &'static Self {
        let side = match halvings(stages) {
            0 | 1 => 32,
            2 => 128,
            _ => 256,
        };
        let as_many = levels.and_then(|levels| Self::ALL.iter().find(|published| published.levels == levels.count));
        as_many.or_else(|| Self::ALL.iter().find(|published| published.side == side)).unwrap_or(&Self::ALL[0])
    }

    /// The size of a step in terms of what the network says and the noise that is added.
    fn snr(&self) -> f64 {
        (self.rate / 2.0).sqrt() / SMALLEST
    }
}

/// Height and width of the images that such a network was published for, where that is known.
pub fn side(config: &UNetConfig, levels: Option<NoiseLevels>) -> Option<u32> {
    match config.style.refine() {
        _ if config.image_channels == 1 => Some(GREY_SIDE),
        Some(Refine { levels: 0 }) => Some(Published::of(levels, config.multipliers.len()).side),
        _ => None,
    }
}

/// What is known of a network's noise levels: those in the file, if it has some, and else those of the publication; and how it
/// is sampled by them.
pub fn notes(sigmas: Option<&[f32]>, config: &UNetConfig) -> [String; 2] {
    let found = sigmas.and_then(NoiseLevels::of);
    let told = config.style.refine().map_or(0, |refine| refine.levels);
    let (usual, steps, snr) = if told > 0 {
        let usual = NoiseLevels { count: u32::try_from(told).unwrap_or(u32::MAX), largest: 2.0, smallest: 0.02 };
        (usual, 100, 0.316)
    } else {
        let published = Published::of(found, config.multipliers.len());
        let (largest, smallest) = (2.0 * published.largest, 2.0 * SMALLEST);
        (NoiseLevels { count: published.levels, largest, smallest }, published.steps, published.snr())
    };
    let NoiseLevels { count, largest, smallest } = found.unwrap_or(usual);
    let sampled = format!(
        "Sampled as published by annealed Langevin dynamics with {steps} steps at each of {count} geometric levels from \
         {largest:.4} to {smallest:.4} for pixels from -1 to 1 and a signal-to-noise ratio of {snr:.3}"
    );
    let from = match (sigmas, found) {
        (_, Some(_)) => "noise levels are the file's",
        (Some(_), None) => "the noise levels in the file are no geometric progression: not obeyed",
        (None, None) => "the file does not say its noise levels: the published ones are assumed",
    };
    [from.to_owned(), sampled]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_published_files() {
        for (ours, theirs) in [
            ("stages.1.0.conv2.weight", "res2.0.conv2.conv.weight"),
            ("stages.1.0.conv1.weight", "res2.0.conv1.weight"),
            ("stages.2.0.shortcut.bias", "res3.0.shortcut.bias"),
            ("stages.0.1.normalize2.gamma", "res1.1.normalize2.gamma"),
            ("refine.1.adapt.1.3.conv.weight", "refine2.adapt_convs.1.2_2_conv.weight"),
            ("refine.3.output.4.norm.embed.weight", "refine4.output_convs.3_1_norm.embed.weight"),
            ("refine.2.merge.0.conv.bias", "refine3.msf.convs.0.bias"),
            ("refine.0.pool.1.norm.embed.weight", "refine1.crp.norms.1.embed.weight"),
            ("sigmas.weight", "sigmas"),
        ] {
            assert_eq!(name(ours, 4).as_deref(), Some(theirs));
        }
        for (ours, theirs, stages) in [
            ("stages.2.0.shortcut.bias", "res3.0.shortcut.conv.bias", 5),
            ("stages.3.0.shortcut.bias", "res4.0.shortcut.bias", 5),
            ("refine.4.pool.1.conv.weight", "refine5.crp.convs.1.weight", 5),
            ("stages.3.0.conv2.weight", "res31.0.conv2.conv.weight", 6),
            ("stages.4.0.conv2.weight", "res4.0.conv2.weight", 6),
            ("refine.2.merge.1.conv.bias", "refine31.msf.convs.1.bias", 6),
            ("refine.3.output.0.conv.weight", "refine3.output_convs.1_1_conv.weight", 6),
        ] {
            assert_eq!(name(ours, stages).as_deref(), Some(theirs));
        }
        // The ends have the same names in both; and there is no more than there is.
        for none in ["begin_conv.weight", "normalizer.alpha", "stages.6.0.conv1.weight"] {
            assert_eq!(name(none, 6), None);
        }
    }

    #[test]
    fn sampling_is_that_of_the_publication_with_as_many_levels() {
        let of = |refine, shape: usize| UNetConfig {
            multipliers: REFINE_SHAPES[shape].to_vec(),
            ..UNetConfig::refine(refine, 8)
        };
        let said = |sigmas, config: &UNetConfig| notes(sigmas, config).join(". ");
        let ncsn = of(Refine::NCSN, 0);
        assert!(said(None, &ncsn).contains("published ones are assumed") && said(None, &ncsn).contains("10 geometric"));
        assert!(said(Some(&[4.0, 2.0, 1.0]), &ncsn).contains("3 geometric levels from 8.0000 to 2.0000"));
        let geometric = |count: u32, largest: f64| -> Vec<f32> {
            let share = |at| f64::from(at) / f64::from(count - 1);
            (0..count).map(|at| (largest * libm::pow(SMALLEST / largest, share(at))) as f32).collect()
        };
        let sigmas = geometric(788, 140.0);
        let churches = of(Refine::NCSN_V2, 1);
        assert_eq!(side(&churches, NoiseLevels::of(&sigmas)), Some(96));
        let text = said(Some(&sigmas), &churches);
        assert!(
            text.contains("4 steps at each of 788 geometric levels from 280.0000") && text.contains("0.157"),
            "{text}"
        );
        // Without levels, or with as many as nobody published, the size of images goes by the network.
        for (shape, pixels) in [(0, 32), (1, 128), (2, 256)] {
            assert_eq!(side(&of(Refine::NCSN_V2, shape), None), Some(pixels));
            assert_eq!(side(&of(Refine::NCSN_V2, shape), NoiseLevels::of(&[4.0, 2.0, 1.0])), Some(pixels));
        }
        assert_eq!(side(&ncsn, None), None);
        assert_eq!(side(&UNetConfig { image_channels: 1, ..of(Refine::NCSN_V2, 0) }, None), Some(GREY_SIDE));
    }
}
