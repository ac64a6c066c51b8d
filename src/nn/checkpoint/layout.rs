//! Which network a file holds, from the names and shapes of its tensors.

use std::collections::BTreeMap;

use super::error::CheckpointError;
use super::improved;
use super::limits::SCALE_SUFFIX;
use super::names::{File, Names};
use super::pickle::Plain;
use super::tensors::Stored;
use super::{edm, score_sde};
use crate::diffusion::convention::Convention;
use crate::nn::unet::{NoiseEmbedding, Style, UNetConfig};

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Architecture {
    /// The U-Net that runs here.
    UNet {
        /// How its tensors are named.
        names: Names,
        /// Its shape. The groups of its normalisations leave no trace in a file and are taken to be 32, as everyone
        /// has them; so do the heads of improved-diffusion, of which its networks for CIFAR-10 have 4.
        config: UNetConfig,
    },
    /// NCSN or NCSNv2 (Song and Ermon 2019, 2020).
    Ncsn,
}

impl Architecture {
    /// A name for messages.
    #[must_use]
    pub fn title(&self) -> &'static str {
        match self {
            Self::UNet { names: Names::Diffusers, .. } => "the U-Net of DDPM, named as in diffusers",
            Self::UNet { names: Names::Ddim, .. } => "the U-Net of DDPM, named as in the DDIM repository",
            Self::UNet { names: Names::Improved, .. } => {
                "a U-Net of improved-diffusion (scale-shift normalisation, several heads, [cos, sin] times)"
            }
            Self::UNet { names: Names::Edm { .. }, config } => match config.style.song().map(|song| song.noise) {
                Some(NoiseEmbedding::Fourier) => "NCSN++ as Karras et al. have it (EDM's SongUNet)",
                _ => "DDPM++ as Karras et al. have it (EDM's SongUNet)",
            },
            Self::UNet { names: Names::ScoreSde, config } => match config.style.song().map(|song| song.noise) {
                Some(NoiseEmbedding::Fourier) => "NCSN++ of score_sde",
                _ => "DDPM++ of score_sde",
            },
            Self::Ncsn => "a network of NCSN or NCSNv2 (RefineNet)",
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
    /// What was assumed because the file does not say it, a line each.
    pub notes: Vec<String>,
}

impl Recognised {
    /// A network of a set of this project, which has nothing beside it.
    #[must_use]
    pub fn of_set(config: UNetConfig) -> Self {
        Self::new(Architecture::UNet { names: Names::Diffusers, config }, String::new())
    }

    fn new(architecture: Architecture, prefix: String) -> Self {
        Self { architecture, prefix, convention: None, averages: BTreeMap::new(), notes: Vec::new() }
    }
}

/// Tensors that only one kind of network has.
const MARKS: [(&str, Kind); 6] = [
    ("down_blocks.0.resnets.0.conv1.weight", Kind::UNet(Names::Diffusers)),
    ("down.0.block.0.conv1.weight", Kind::UNet(Names::Ddim)),
    ("input_blocks.1.0.in_layers.0.weight", Kind::UNet(Names::Improved)),
    ("begin_conv.weight", Kind::Ncsn),
    ("all_modules.0.weight", Kind::UNet(Names::ScoreSde)),
    ("all_modules.0.W", Kind::UNet(Names::ScoreSde)),
];

/// Classes of the usual data sets: a table of so many rows has none for no class.
const ROUND_COUNTS: [usize; 3] = [10, 100, 1000];

#[derive(Clone, Copy)]
enum Kind {
    UNet(Names),
    Ncsn,
}

/// Where a network begins, and which it is, when this tensor is one that only one kind of network has.
fn marked(name: &str) -> Option<(&str, Kind)> {
    if let Some((prefix, side)) = edm::mark(name) {
        return Some((prefix, Kind::UNet(Names::Edm { side })));
    }
    MARKS.iter().find_map(|(mark, kind)| Some((name.strip_suffix(mark)?, *kind)))
}

impl Names {
    /// Whether a tensor of this name is nothing that a network here needs: filters, tables of noise levels.
    pub(super) fn is_idle(self, name: &str) -> bool {
        match self {
            Self::Edm { .. } => edm::is_idle(name),
            Self::ScoreSde => score_sde::is_idle(name),
            Self::Diffusers | Self::Ddim | Self::Improved => false,
        }
    }

    /// The name in the file of diffusers' parameter `name`, in a network of so many levels. Where there are two ways
    /// to write it, the one that is `there`.
    pub(super) fn find(self, name: &str, config: &UNetConfig, there: impl Fn(&str) -> bool) -> String {
        let (levels, layers) = (config.multipliers.len(), config.layers);
        match self {
            Self::Edm { side } => edm::name(name, side, levels, layers, there).unwrap_or_else(|| name.to_owned()),
            Self::ScoreSde => score_sde::name(name, config).unwrap_or_else(|| name.to_owned()),
            Self::Diffusers => {
                let older = [(".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value.")]
                    .into_iter()
                    .chain([(".to_out.0.", ".proj_attn.")])
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
    let mut best: Option<(bool, usize, String, Kind)> = None;
    for name in tensors.keys() {
        let Some((prefix, kind)) = marked(name) else { continue };
        if !(prefix.is_empty() || prefix.ends_with(['.', '/'])) {
            continue;
        }
        let rank = (!prefix.to_lowercase().contains("ema"), prefix.len());
        if best.as_ref().is_none_or(|(raw, length, ..)| rank < (*raw, *length)) {
            best = Some((rank.0, rank.1, prefix.to_owned(), kind));
        }
    }
    let Some((_, _, prefix, kind)) = best else {
        let examples = tensors.keys().filter(|name| !name.ends_with(SCALE_SUFFIX)).take(3).cloned().collect();
        let foreign = foreign.to_vec();
        return Err(CheckpointError::Unknown { count: tensors.len(), examples, foreign });
    };
    let file = File { tensors, prefix: &prefix };
    let architecture = match kind {
        Kind::UNet(Names::Improved) => Architecture::UNet { names: Names::Improved, config: improved::infer(&file)? },
        Kind::UNet(names @ Names::Edm { side }) => Architecture::UNet { names, config: edm::infer(&file, side)? },
        Kind::UNet(Names::ScoreSde) => Architecture::UNet { names: Names::ScoreSde, config: score_sde::infer(&file)? },
        Kind::UNet(names) => Architecture::UNet { names, config: infer(&file, names)? },
        Kind::Ncsn => Architecture::Ncsn,
    };
    let mut recognised = Recognised::new(architecture, prefix);
    match &recognised.architecture {
        Architecture::UNet { names: Names::Edm { .. }, .. } => {
            let convention = edm::convention(settings, &recognised.prefix);
            recognised.convention = Some(convention.map_err(|class| CheckpointError::Preconditioning { class })?);
        }
        Architecture::UNet { names: Names::ScoreSde, config } => {
            recognised.averages = score_sde::averages(tensors, &recognised.prefix).unwrap_or_default();
            if recognised.averages.is_empty() {
                recognised.notes.push("no averaged weights in the file: those of the last step are used".to_owned());
            }
            recognised.notes.push(score_sde::assumed(config));
            recognised.convention = Some(score_sde::convention(config));
        }
        _ => {}
    }
    Ok(recognised)
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
        style: Style::Ddpm,
        details: None,
    };
    config.set_without_class(without_class);
    Ok(config)
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
