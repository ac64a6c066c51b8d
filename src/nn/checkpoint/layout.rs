//! Which network a file holds, from the names and shapes of its tensors.

use std::collections::BTreeMap;

use super::error::CheckpointError;
use super::improved;
use super::limits::SCALE_SUFFIX;
use super::names::{File, Names};
use super::noise_levels::{NoiseLevels, SIGMAS};
use super::pickle::Plain;
use super::tensors::Stored;
use super::{edm, jax, refine, score_sde};
use crate::diffusion::convention::Convention;
use crate::nn::unet::{Decoder, Encoder, Filter, NoiseEmbedding, Refine, Song, Style, UNetConfig, halvings};

/// The network that a file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// How its tensors are named.
    pub names: Names,
    /// Its shape. The groups of its normalisations leave no trace in a file and are taken to be 32, as everyone has them; so
    /// do the heads of improved-diffusion, of which its networks for CIFAR-10 have 4.
    pub config: UNetConfig,
}

impl Architecture {
    /// A name for messages.
    #[must_use]
    pub fn title(&self) -> &'static str {
        let song = self.config.style.song();
        // Where both are told the noise level in steps, NCSN++ is the one whose way down is told of the image.
        let is_ncsn = |song: Song| song.noise == NoiseEmbedding::Fourier || song.encoder == Encoder::Residual;
        match (self.names, song.is_some_and(is_ncsn)) {
            (Names::Diffusers, _) if song.is_some() => "NCSN++, named as in diffusers",
            (Names::Diffusers, _) => "the U-Net of DDPM, named as in diffusers",
            (Names::Ddim, _) => "the U-Net of DDPM, named as in the DDIM repository",
            (Names::Improved, _) => {
                "a U-Net of improved-diffusion (scale-shift normalisation, several heads, [cos, sin] times)"
            }
            (Names::Edm { .. }, true) => "NCSN++ as Karras et al. have it (EDM's SongUNet)",
            (Names::Edm { .. }, false) => "DDPM++ as Karras et al. have it (EDM's SongUNet)",
            (Names::ScoreSde, true) => "NCSN++ of score_sde",
            (Names::ScoreSde, false) => "DDPM++ of score_sde",
            (Names::Jax, true) => "NCSN++ of score_sde in JAX",
            (Names::Jax, false) => "DDPM++ of score_sde in JAX",
            (Names::Refine, _) if self.config.style.refine() == Some(Refine::NCSN_V2) => {
                match halvings(self.config.multipliers.len()) {
                    0 | 1 => "NCSNv2 (RefineNet, told no noise level)",
                    2 => "NCSNv2 for 128 pixels (RefineNet of five stages, told no noise level)",
                    _ => "NCSNv2 for 256 pixels (RefineNet of six stages, told no noise level)",
                }
            }
            (Names::Refine, _) => "NCSN (RefineNet, told the noise level in every normalisation)",
        }
    }
}

/// A network, and where in the file it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Recognised {
    /// Which network.
    pub architecture: Architecture,
    /// What its tensors' names begin with: `ema/`, `module.`, or nothing.
    pub prefix: String,
    /// The convention that the file itself says, if it says one.
    pub convention: Option<Convention>,
    /// Where averages of the parameters are, by the names that those have.
    pub averages: BTreeMap<String, String>,
    /// The noise levels beside the network, where they fall geometrically.
    pub levels: Option<NoiseLevels>,
    /// What was assumed because the file does not say it, a line each.
    pub notes: Vec<String>,
}

impl Recognised {
    /// A network of a set of this project, which has nothing beside it.
    #[must_use]
    pub fn of_set(config: UNetConfig) -> Self {
        Self::new(Architecture { names: Names::Diffusers, config }, String::new())
    }

    fn new(architecture: Architecture, prefix: String) -> Self {
        Self { architecture, prefix, convention: None, averages: BTreeMap::new(), levels: None, notes: Vec::new() }
    }
}

/// Tensors that only one kind of network has.
const MARKS: [(&str, Names); 7] = [
    ("down_blocks.0.resnets.0.conv1.weight", Names::Diffusers),
    ("down.0.block.0.conv1.weight", Names::Ddim),
    ("input_blocks.1.0.in_layers.0.weight", Names::Improved),
    ("begin_conv.weight", Names::Refine),
    ("all_modules.0.weight", Names::ScoreSde),
    ("all_modules.0.W", Names::ScoreSde),
    ("ResnetBlockBigGANpp_0/Conv_0/kernel", Names::Jax),
];

/// Classes of the usual data sets: a table of so many rows has none for no class.
const ROUND_COUNTS: [usize; 3] = [10, 100, 1000];

/// Where a network begins, and which it is, when this tensor is one that only one kind of network has.
fn marked(name: &str) -> Option<(&str, Names)> {
    if let Some((prefix, side)) = edm::mark(name) {
        return Some((prefix, Names::Edm { side }));
    }
    MARKS.iter().find_map(|(mark, kind)| Some((name.strip_suffix(mark)?, *kind)))
}

impl Names {
    /// The name in a file of this network's parameter `name`; where there are two ways to write it, the newer.
    #[must_use]
    pub fn in_file(self, name: &str, config: &UNetConfig) -> String {
        self.find(name, config, |_| true)
    }

    /// Whether a tensor of this name is nothing that a network here needs: filters, tables of noise levels.
    pub(super) fn is_idle(self, name: &str) -> bool {
        match self {
            Self::Edm { .. } => edm::is_idle(name),
            Self::ScoreSde => score_sde::is_idle(name),
            Self::Refine => refine::is_idle(name),
            // The frequencies once more.
            Self::Diffusers => name == "time_proj.W",
            Self::Ddim | Self::Improved | Self::Jax => false,
        }
    }

    /// The name in the file of diffusers' parameter `name`, in a network of so many levels. Where there are two ways
    /// to write it, the one that is `there`.
    pub(super) fn find(self, name: &str, config: &UNetConfig, there: impl Fn(&str) -> bool) -> String {
        let (levels, layers) = (config.multipliers.len(), config.layers);
        match self {
            Self::Edm { side } => edm::name(name, side, levels, layers, there).unwrap_or_else(|| name.to_owned()),
            Self::ScoreSde => score_sde::name(name, config).unwrap_or_else(|| name.to_owned()),
            Self::Jax => jax::name(name, config).unwrap_or_else(|| name.to_owned()),
            // This project's own files have its names.
            Self::Refine => refine::name(name, levels)
                .filter(|theirs| there(theirs) || !there(name))
                .unwrap_or_else(|| name.to_owned()),
            Self::Diffusers => {
                let older = [(".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value.")]
                    .into_iter()
                    .chain([(".to_out.0.", ".proj_attn."), ("time_proj.weight", "time_proj.W")])
                    .find(|(new, _)| name.contains(new))
                    .map(|(new, old)| name.replace(new, old));
                older.filter(|older| !there(name) && there(older)).unwrap_or_else(|| name.to_owned())
            }
            Self::Ddim => ddim(name, levels).unwrap_or_else(|| name.to_owned()),
            Self::Improved => improved::name(name, layers, there).unwrap_or_else(|| name.to_owned()),
        }
    }
}

/// The DDIM repository's name.
fn ddim(name: &str, levels: usize) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let (side, head, rest) = match &parts[..] {
        ["time_embedding", layer, kind] => {
            let index = if *layer == "linear_1" { 0 } else { 1 };
            return Some(format!("temb.dense.{index}.{kind}"));
        }
        ["conv_norm_out", kind] => return Some(format!("norm_out.{kind}")),
        ["mid_block", rest @ ..] => ("mid", "mid".to_owned(), rest),
        ["down_blocks", level, rest @ ..] => ("down", format!("down.{level}"), rest),
        ["up_blocks", level, rest @ ..] => {
            let level = levels.checked_sub(1)?.checked_sub(level.parse().ok()?)?;
            ("up", format!("up.{level}"), rest)
        }
        _ => return None,
    };
    let (block, inner) = match rest {
        ["downsamplers", _, inner @ ..] => ("downsample".to_owned(), inner),
        ["upsamplers", _, inner @ ..] => ("upsample".to_owned(), inner),
        ["resnets", index, inner @ ..] if side == "mid" => {
            (format!("block_{}", index.parse::<usize>().ok()?.checked_add(1)?), inner)
        }
        ["attentions", _, inner @ ..] if side == "mid" => ("attn_1".to_owned(), inner),
        ["resnets", index, inner @ ..] => (format!("block.{index}"), inner),
        ["attentions", index, inner @ ..] => (format!("attn.{index}"), inner),
        _ => return None,
    };
    let inner = match inner {
        ["to_out", "0", kind] => format!("proj_out.{kind}"),
        [layer, kind] => {
            let layer = match *layer {
                "time_emb_proj" => "temb_proj",
                "conv_shortcut" => "nin_shortcut",
                "group_norm" => "norm",
                "to_q" => "q",
                "to_k" => "k",
                "to_v" => "v",
                same => same,
            };
            format!("{layer}.{kind}")
        }
        _ => return None,
    };
    Some(format!("{head}.{block}.{inner}"))
}

/// Finds the network. Where a file holds several, averaged weights come first, then those least deep in dictionaries.
pub fn recognise(
    tensors: &BTreeMap<String, Stored>,
    foreign: &[String],
    settings: &BTreeMap<String, Plain>,
) -> Result<Recognised, CheckpointError> {
    let mut best: Option<(bool, usize, String, Names)> = None;
    for name in tensors.keys() {
        let Some((prefix, names)) = marked(name) else { continue };
        if !(prefix.is_empty() || prefix.ends_with(['.', '/'])) {
            continue;
        }
        let rank = (!prefix.to_lowercase().contains("ema"), prefix.len());
        if best.as_ref().is_none_or(|(raw, length, ..)| rank < (*raw, *length)) {
            best = Some((rank.0, rank.1, prefix.to_owned(), names));
        }
    }
    let Some((_, _, prefix, names)) = best else {
        let examples = tensors.keys().filter(|name| !name.ends_with(SCALE_SUFFIX)).take(3).cloned().collect();
        let foreign = foreign.to_vec();
        return Err(CheckpointError::Unknown { count: tensors.len(), examples, foreign });
    };
    let file = File { tensors, prefix: &prefix };
    let config = match names {
        Names::Improved => improved::infer(&file)?,
        Names::Edm { side } => edm::infer(&file, side)?,
        Names::ScoreSde => score_sde::infer(&file)?,
        Names::Jax => jax::infer(&file)?,
        Names::Refine => refine::infer(&file)?,
        Names::Diffusers | Names::Ddim => infer(&file, names)?,
    };
    let mut recognised = Recognised::new(Architecture { names, config }, prefix);
    let config = &recognised.architecture.config;
    let sigmas = match names {
        Names::ScoreSde | Names::Jax | Names::Refine => sigmas(tensors)?,
        Names::Diffusers | Names::Ddim | Names::Improved | Names::Edm { .. } => None,
    };
    recognised.levels = sigmas.as_deref().and_then(NoiseLevels::of);
    match names {
        Names::Edm { .. } => {
            let convention = edm::convention(settings, &recognised.prefix);
            recognised.convention = Some(convention.map_err(|class| CheckpointError::Preconditioning { class })?);
        }
        Names::ScoreSde => {
            recognised.averages = score_sde::averages(tensors, &recognised.prefix).unwrap_or_default();
            if recognised.averages.is_empty() {
                recognised.notes.push(no_averages());
            }
            recognised.notes.push(score_sde::assumed(config));
            recognised.convention = Some(score_sde::convention(config, recognised.levels));
        }
        Names::Jax => {
            recognised.notes.extend((!recognised.prefix.contains("ema")).then(no_averages));
            recognised.notes.push(score_sde::assumed(config));
            recognised.notes.extend(jax::assumed(config));
            recognised.convention = Some(score_sde::convention(config, recognised.levels));
        }
        Names::Refine => {
            // Averages are under names without the `module.` that the model's have.
            if tensors.keys().any(|name| name.ends_with("module.begin_conv.weight")) {
                recognised.notes.extend(recognised.prefix.ends_with("module.").then(no_averages));
            }
            recognised.notes.extend(refine::notes(sigmas.as_deref(), config));
            recognised.convention = Some(refine::convention(config.style));
        }
        Names::Diffusers | Names::Ddim | Names::Improved => {}
    }
    Ok(recognised)
}

/// The numbers of a file's noise levels, if it has some.
fn sigmas(tensors: &BTreeMap<String, Stored>) -> Result<Option<Vec<f32>>, CheckpointError> {
    let is_sigmas = |name: &str| name.strip_suffix(".weight").unwrap_or(name).rsplit(['.', '/']).next() == Some(SIGMAS);
    let found = tensors.iter().find(|(name, _)| is_sigmas(name));
    found.map(|(name, stored)| stored.decode(name)).transpose()
}

fn no_averages() -> String {
    "no averaged weights in the file: those of the last step are used".to_owned()
}

/// The shape of the network, from the way down; whether the rest agrees is seen when it is loaded.
fn infer(file: &File, names: Names) -> Result<UNetConfig, CheckpointError> {
    let mut config = UNetConfig::default();
    config.multipliers.clear();
    let there = |name: &str| file.shape(&names.find(name, &config, |_| true)).is_ok();
    let count = |name: &dyn Fn(usize) -> String| (0..64).take_while(|i| there(&name(*i))).count();
    let channels = file.length("conv_in.weight", 0)?;
    let image_channels = file.length("conv_in.weight", 1)?;
    let levels = count(&|level| format!("down_blocks.{level}.resnets.0.conv1.weight"));
    let layers = count(&|layer| format!("down_blocks.0.resnets.{layer}.conv1.weight"));
    let mut multipliers = Vec::with_capacity(levels);
    for level in 0..levels {
        let name = names.find(
            &format!("down_blocks.{level}.resnets.0.conv1.weight"),
            &UNetConfig { multipliers: vec![1; levels], ..config.clone() },
            |_| true,
        );
        let width = file.length(&name, 0)?;
        if width % channels != 0 {
            let mut expected = file.shape(&name)?.to_vec();
            expected[0] = channels.saturating_mul(width.div_ceil(channels));
            let found = file.shape(&name)?.to_vec();
            return Err(CheckpointError::Shape { tensor: format!("{}{name}", file.prefix), expected, found });
        }
        multipliers.push(width / channels);
    }
    let attention = |level: &usize| there(&format!("down_blocks.{level}.attentions.0.group_norm.weight"));
    let rows = file.length("class_embedding.weight", 0).unwrap_or(0);
    // This project's networks have a row for no class after those of the classes, others' usually none.
    let without_class = !ROUND_COUNTS.contains(&rows);
    let outputs = file.length("conv_out.weight", 0)?;
    let mut config = UNetConfig {
        image_channels,
        channels,
        multipliers,
        layers,
        attention_levels: (0..levels).filter(attention).collect(),
        classes: if without_class { rows.saturating_sub(1) } else { rows },
        dropout: 0.0,
        learned_variance: outputs == image_channels.saturating_mul(2),
        groups: 32,
        heads: 1,
        style: song(file).map_or(Style::Ddpm, Style::Song),
        details: None,
    };
    config.set_without_class(without_class);
    Ok(config)
}

/// What a network of Song et al. has, by diffusers' names, if it is one: residual blocks that halve.
fn song(file: &File) -> Option<Song> {
    file.shape("down_blocks.0.resnet_down.conv1.weight").ok()?;
    let encoder = match file.shape("down_blocks.0.skip_conv.weight") {
        Ok([.., 1]) => Encoder::Skip,
        Ok(_) => Encoder::Residual,
        Err(_) => Encoder::Standard,
    };
    let there = |name: &str| file.shape(name).is_ok();
    let decoder = if there("up_blocks.0.skip_conv.weight") { Decoder::Skip } else { Decoder::Standard };
    let fourier = there("time_proj.weight") || there("time_proj.W");
    let noise = if fourier { NoiseEmbedding::Fourier } else { NoiseEmbedding::Positional };
    // Filters leave no trace: as those have it who published such networks.
    let filter = if fourier || encoder != Encoder::Standard { Filter::Binomial } else { Filter::Box };
    Some(Song { filter, encoder, decoder, noise })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_cifar10_network_are_those_of_the_ddim_repository() {
        for (ours, theirs) in [
            ("time_embedding.linear_2.bias", "temb.dense.1.bias"),
            ("conv_in.weight", "conv_in.weight"),
            ("conv_norm_out.bias", "norm_out.bias"),
            ("down_blocks.1.resnets.0.conv_shortcut.weight", "down.1.block.0.nin_shortcut.weight"),
            ("down_blocks.1.attentions.1.group_norm.weight", "down.1.attn.1.norm.weight"),
            ("down_blocks.2.downsamplers.0.conv.bias", "down.2.downsample.conv.bias"),
            ("mid_block.resnets.1.time_emb_proj.weight", "mid.block_2.temb_proj.weight"),
            ("mid_block.attentions.0.to_out.0.weight", "mid.attn_1.proj_out.weight"),
            ("up_blocks.0.resnets.2.norm2.weight", "up.3.block.2.norm2.weight"),
            ("up_blocks.2.attentions.2.to_v.bias", "up.1.attn.2.v.bias"),
            ("up_blocks.2.upsamplers.0.conv.weight", "up.1.upsample.conv.weight"),
            ("up_blocks.3.resnets.0.conv1.bias", "up.0.block.0.conv1.bias"),
        ] {
            assert_eq!(Names::Ddim.find(ours, &UNetConfig::cifar10(), |_| true), theirs);
        }
    }
}
