//! Weights as others publish them: which files are one checkpoint, and what the settings beside them say. One reading for
//! folders of the program and for files that are given to the page.

use super::diffusers::{self, NETWORK_FILE, SCHEDULER_FILE, SettingsError};
use super::{Architecture, CheckpointError, Names, Recognised};
use super::{refine, score_sde};
use crate::diffusion::Convention;
use crate::diffusion::convention::TimeConvention;
use crate::nn::unet::{NoiseEmbedding, UNetConfig};

/// Formats of weights by their extensions, the preferred first: safetensors can hold nothing but tensors.
const FORMATS: [&str; 7] = ["safetensors", "bin", "ckpt", "pth", "pt", "pkl", "msgpack"];

/// Files by name, in two heaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Places of the files of one checkpoint: one, or the shards of one.
    pub weights: Vec<usize>,
    /// Places of other files of weights.
    pub left: Vec<usize>,
}

/// Whether the training kit names averaged weights so.
#[must_use]
pub fn is_of_kit(name: &str) -> bool {
    name.starts_with("ema.")
}

/// The files of one checkpoint among files of these names. Averaged weights of the training kit come first, then
/// safetensors before what torch saves, then full precision before a variant (`.fp16.`, `.non_ema.`).
#[must_use]
pub fn one_checkpoint(names: &[&str]) -> Chosen {
    let rank = |name: &str| {
        let lower = name.to_lowercase();
        let (stem, extension) = lower.rsplit_once('.')?;
        let format = FORMATS.iter().position(|known| *known == extension)?;
        // `name-00001-of-00003` is a shard, and so is a part that is a number.
        let stem = stem.split_once("-of-").map_or(stem, |(stem, _)| stem);
        let variants = stem.split('.').skip(1).filter(|part| part.chars().any(|c| !c.is_ascii_digit() && c != '-'));
        Some((!is_of_kit(&lower), format, variants.count()))
    };
    let ranks: Vec<_> = names.iter().map(|name| rank(name)).collect();
    let best = ranks.iter().flatten().min().copied();
    let (mut weights, mut left) = (Vec::new(), Vec::new());
    for (place, rank) in ranks.into_iter().enumerate().filter(|(_, rank)| rank.is_some()) {
        if rank == best { &mut weights } else { &mut left }.push(place);
    }
    Chosen { weights, left }
}

/// Settings of diffusers beside weights, as the texts of their files.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `config.json`.
    pub network: Option<String>,
    /// `scheduler_config.json`.
    pub scheduler: Option<String>,
}

/// What is known of a published network beside its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// What it has to be told, and what its output means.
    pub convention: Convention,
    /// Height and width of its images, if that is said.
    pub image_size: Option<u32>,
    /// What was assumed or not obeyed, a line each.
    pub notes: Vec<String>,
}

impl Settings {
    /// Gives a network the shape and the details that are said, or that those had who published such networks; and its
    /// convention, unless one is `wanted`.
    ///
    /// # Errors
    /// [`CheckpointError::Settings`] when what is said does not run here.
    pub fn describe(
        &self,
        recognised: &mut Recognised,
        wanted: Option<Convention>,
    ) -> Result<Description, CheckpointError> {
        let Architecture { names, config } = &mut recognised.architecture;
        let mut notes = std::mem::take(&mut recognised.notes);
        let mut image_size = match names {
            Names::Edm { side } => u32::try_from(*side).ok(),
            Names::Refine => refine::side(config, recognised.levels),
            _ => None,
        };
        match &self.network {
            Some(json) if diffusers::is_network(json) => {
                let described = diffusers::network(json)?;
                *config = described.of.config;
                image_size = described.of.image_size;
                notes.extend(unread(NETWORK_FILE, &described.unread));
            }
            found => {
                if found.is_some() {
                    notes.push(format!("{NETWORK_FILE} is not diffusers': it was not obeyed"));
                }
                notes.extend(assumed(*names, config));
            }
        }
        let noise = config.style.song().map(|song| song.noise);
        let of_score_sde = matches!(names, Names::ScoreSde | Names::Jax);
        let convention = match (wanted, &self.scheduler) {
            (Some(wanted), _) => wanted,
            (None, Some(json)) => {
                let described = diffusers::convention(json)?;
                notes.extend(unread(SCHEDULER_FILE, &described.unread));
                let exploding = described.of == Convention::ve();
                // Frequencies of the logarithm of sigma mean nothing to a network that counts steps, and the other way; but
                // score_sde has networks that count levels.
                let fourier = noise == Some(NoiseEmbedding::Fourier);
                if exploding && !fourier && of_score_sde {
                    let levels = recognised.levels.map_or_else(|| diffusers::levels(json), Ok)?;
                    let convention = levels.convention();
                    let from = if recognised.levels.is_some() { "the file" } else { SCHEDULER_FILE };
                    notes.push(format!("{}, as {from} has them", score_sde::equation(&convention)));
                    convention
                } else if exploding == fourier {
                    described.of
                } else {
                    let found = format!("noise that the network of {NETWORK_FILE} is not told");
                    let wanted = if fourier { "ScoreSdeVeScheduler" } else { "scheduler of a chain of betas" };
                    return Err(SettingsError::Class { file: SCHEDULER_FILE, found, wanted }.into());
                }
            }
            (None, None) if recognised.convention.is_some() => {
                let convention = recognised.convention.unwrap_or_else(Convention::ddpm);
                if of_score_sde {
                    let from = match (convention.time, recognised.levels) {
                        (TimeConvention::Levels { .. }, Some(_)) => " with the levels in the file",
                        (TimeConvention::Levels { .. }, None) => " with the published levels",
                        _ => "",
                    };
                    let equation = score_sde::equation(&convention);
                    notes.push(format!("the file does not say its equation: {equation} is assumed{from}"));
                }
                convention
            }
            (None, None) => {
                let (convention, told) = match (&names, noise) {
                    (_, Some(noise)) => {
                        let convention = score_sde::continuous(noise);
                        (convention, score_sde::equation(&convention))
                    }
                    (Names::Improved, _) => {
                        (Convention::improved(), "the noise of 4000 steps of the cosine schedule".to_owned())
                    }
                    _ => (Convention::ddpm(), "the noise of 1000 steps of betas from 1e-4 to 0.02".to_owned()),
                };
                notes.push(format!("no {SCHEDULER_FILE} beside the weights: {told} is assumed"));
                convention
            }
        };
        Ok(Description { convention, image_size, notes })
    }
}

fn unread(file: &str, fields: &[String]) -> Option<String> {
    (!fields.is_empty()).then(|| format!("{file}: {} not known here and not obeyed", fields.join(", ")))
}

/// What leaves no trace in weights and is taken to be as those have it who published such networks.
fn assumed(names: Names, config: &UNetConfig) -> Option<String> {
    let whose = match names {
        Names::Improved => "improved-diffusion's for CIFAR-10",
        Names::Diffusers if config.style.song().is_some() => "Song et al.'s",
        Names::Diffusers | Names::Ddim => "Ho et al.'s",
        // The layout says the network, and the file or a note of its own what is left.
        Names::Edm { .. } | Names::ScoreSde | Names::Jax | Names::Refine => return None,
    };
    let classes = match (config.class_rows(), config.details().without_class) {
        (0, _) => String::new(),
        (rows, true) => format!(", and the last of the {rows} rows of its table of classes for no class"),
        (rows, false) => format!(", and all {rows} rows of its table of classes for classes"),
    };
    let (groups, heads) = (config.groups, config.heads);
    Some(format!(
        "no {NETWORK_FILE} of diffusers beside the weights: {groups} groups of normalisation, heads of attention ({heads}), \
         padding and features of times are taken as {whose}{classes}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str]) -> [Vec<String>; 2] {
        let Chosen { weights, left } = one_checkpoint(names);
        [weights, left].map(|places| places.into_iter().map(|place| names[place].to_owned()).collect())
    }

    #[test]
    fn safetensors_come_before_torch_and_full_precision_before_variants() {
        let model = "diffusion_pytorch_model";
        for (weights, left) in [
            (vec!["m.safetensors"], vec!["m.bin"]),
            (vec!["m.safetensors"], vec!["m.fp16.safetensors", "m.non_ema.safetensors", "m.fp16.bin"]),
            (vec!["m.bin"], vec!["m.fp16.bin", "m.ckpt"]),
            (vec!["m.ckpt"], vec!["m.pt"]),
            (vec!["ema.00.safetensors", "ema.01.safetensors"], vec!["m.safetensors"]),
            (vec!["weights.00.safetensors", "weights.01.safetensors"], vec![]),
            (vec!["M.SAFETENSORS"], vec!["m.bin"]),
        ] {
            let names: Vec<&str> =
                left.iter().chain(&weights).chain(&["config.json", "README.md", "m"]).copied().collect();
            assert_eq!(
                chosen(&names),
                [weights, left].map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>())
            );
        }
        let shards = [1, 2, 3].map(|shard| format!("{model}-0000{shard}-of-00003.safetensors"));
        let half = [1, 2].map(|shard| format!("{model}.fp16-0000{shard}-of-00002.safetensors"));
        let names: Vec<&str> = half.iter().chain(&shards).map(String::as_str).collect();
        assert_eq!(chosen(&names), [shards.to_vec(), half.to_vec()]);
    }
}
