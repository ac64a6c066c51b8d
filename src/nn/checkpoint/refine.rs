//! The layout of ncsn and ncsnv2 (Song and Ermon 2019, 2020): stages `res1` to `res4` and blocks of refinement `refine1` to
//! `refine4`; and the noise levels beside them.

use super::error::CheckpointError;
use super::names::File;
use crate::diffusion::convention::{Convention, TimeConvention};
use crate::nn::unet::{Refine, Style, UNetConfig};

/// Noise levels, in NCSNv2's files and, where there are some, in this project's.
pub const SIGMAS: &str = "sigmas";
/// Height and width of the images of one channel that such networks were published for.
pub const GREY_SIDE: u32 = 28;
/// How far published levels are from a geometric progression: the roundings of single precision.
const GEOMETRIC_SLACK: f64 = 1e-3;

/// Its name of this project's parameter `name`.
pub fn name(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let next = |index: &str| Some(index.parse::<usize>().ok()? + 1);
    Some(match &parts[..] {
        ["sigmas", _] => SIGMAS.to_owned(),
        ["stages", stage, block, layer, rest @ ..] => {
            // Means of four pixels are in one layer with what comes before them.
            let halves = (*stage, *block) == ("1", "0") && matches!(*layer, "conv2" | "shortcut");
            let inner = if halves { ".conv" } else { "" };
            format!("res{}.{block}.{layer}{inner}.{}", next(stage)?, rest.join("."))
        }
        ["refine", stage, part, rest @ ..] => {
            let stage = next(stage)?;
            // Convolutions of a chain are numbered by block and place in it.
            let chained = |unit: &str, layer: &str, rest: &[&str]| {
                let unit: usize = unit.parse().ok()?;
                Some(format!("{}_{}_{layer}.{}", unit / 2, unit % 2, rest.join(".")))
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

/// The shape of the network, from its ends; whether the rest agrees is seen when it is loaded.
pub fn infer(file: &File) -> Result<UNetConfig, CheckpointError> {
    let (channels, image_channels) = (file.length("begin_conv.weight", 0)?, file.length("begin_conv.weight", 1)?);
    let levels =
        if file.shape("normalizer.embed.weight").is_ok() { file.length("normalizer.embed.weight", 0)? } else { 0 };
    Ok(UNetConfig { image_channels, ..UNetConfig::refine(Refine { levels }, channels) })
}

/// The convention of such networks: the score times sigma, told its logarithm or nothing, for images that are between 0 and 1
/// before the network centres them.
pub fn convention(style: Style) -> Convention {
    let told = style.refine().is_some_and(|refine| refine.levels > 0);
    if told { Convention::ve() } else { Convention { time: TimeConvention::None, ..Convention::ve() } }
}

/// How such a network is sampled as published: levels of annealed Langevin dynamics, for images between -1 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Published {
    levels: usize,
    largest: f64,
    smallest: f64,
    /// Langevin steps a level.
    steps: u32,
    snr: f64,
}

/// What is known of a network's noise levels: those in the file, if it has some, and else those of the publication; and how it
/// is sampled by them.
pub fn notes(sigmas: Option<&[f32]>, style: Style) -> Vec<String> {
    let told = style.refine().map_or(0, |refine| refine.levels);
    let published = if told > 0 {
        Published { levels: told, largest: 2.0, smallest: 0.02, steps: 100, snr: 0.316 }
    } else {
        Published { levels: 232, largest: 100.0, smallest: 0.02, steps: 5, snr: 0.176 }
    };
    let (of, mut notes) = match sigmas.and_then(geometric) {
        Some((levels, largest, smallest)) => {
            (Published { levels, largest, smallest, ..published }, vec!["noise levels are the file's".to_owned()])
        }
        None if sigmas.is_some() => {
            (published, vec!["the noise levels in the file are no geometric progression: not obeyed".to_owned()])
        }
        None => (published, vec!["the file does not say its noise levels: the published ones are assumed".to_owned()]),
    };
    let Published { levels, largest, smallest, steps, snr } = of;
    notes.push(format!(
        "Sampled as published by annealed Langevin dynamics with {steps} steps at each of {levels} geometric levels from \
         {largest:.4} to {smallest:.4} for pixels from -1 to 1 and a signal-to-noise ratio of {snr}"
    ));
    notes
}

/// How many levels there are, the largest and the smallest, for pixels from -1 to 1, when they fall geometrically.
fn geometric(sigmas: &[f32]) -> Option<(usize, f64, f64)> {
    let (&[largest, .., smallest], count) = (sigmas, sigmas.len()) else { return None };
    let (largest, smallest) = (f64::from(largest), f64::from(smallest));
    let falls = smallest > 0.0 && largest > smallest && largest.is_finite();
    let ratio = libm::log(smallest / largest);
    let near = |(at, sigma): (usize, &f32)| {
        let wanted = libm::log(largest) + ratio * at as f64 / (count - 1) as f64;
        (libm::log(f64::from(*sigma)) - wanted).abs() < GEOMETRIC_SLACK
    };
    (falls && sigmas.iter().enumerate().all(near)).then_some((count, 2.0 * largest, 2.0 * smallest))
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
            ("refine.1.adapt.1.3.conv.weight", "refine2.adapt_convs.1.1_1_conv.weight"),
            ("refine.3.output.4.norm.embed.weight", "refine4.output_convs.2_0_norm.embed.weight"),
            ("refine.2.merge.0.conv.bias", "refine3.msf.convs.0.bias"),
            ("refine.0.pool.1.norm.embed.weight", "refine1.crp.norms.1.embed.weight"),
            ("sigmas.weight", "sigmas"),
        ] {
            assert_eq!(name(ours).as_deref(), Some(theirs));
        }
        // The ends have the same names in both.
        assert_eq!((name("begin_conv.weight"), name("normalizer.alpha")), (None, None));
    }

    #[test]
    fn levels_are_obeyed_when_they_are_a_geometric_progression() {
        assert_eq!(geometric(&[4.0, 2.0, 1.0]), Some((3, 8.0, 2.0)));
        for other in [&[4.0, 3.0, 1.0][..], &[1.0, 2.0, 4.0], &[1.0], &[], &[1.0, -1.0], &[1.0, f32::NAN, 0.1]] {
            assert_eq!(geometric(other), None);
        }
        let notes = |sigmas| notes(sigmas, Style::Refine(Refine::NCSN)).join(". ");
        assert!(notes(None).contains("published ones are assumed") && notes(None).contains("10 geometric levels"));
        assert!(notes(Some(&[4.0, 2.0, 1.0])).contains("3 geometric levels from 8.0000 to 2.0000"));
    }
}
