//! The network that a `config.json` describes.

use serde_json::Value;

use super::reader::{Reader, whole};
use super::settings::{Described, NETWORK_FILE, Network, SettingsError};
use crate::nn::unet::{Decoder, Details, Encoder, Filter, NoiseEmbedding, Song, Style, UNetConfig};

/// Most channels that a number of groups can follow from; diffusers has 32 groups wherever there are so many.
const WIDE: usize = 128;
/// How far a setting may be from the root of 2 that it is written for.
const ROOT_SLACK: f64 = 1e-6;

/// The kinds of a block, without and with attention.
type Kinds = [&'static str; 2];
const PLAIN: [Kinds; 2] = [["DownBlock2D", "AttnDownBlock2D"], ["UpBlock2D", "AttnUpBlock2D"]];
const SKIP: [Kinds; 2] = [["SkipDownBlock2D", "AttnSkipDownBlock2D"], ["SkipUpBlock2D", "AttnSkipUpBlock2D"]];

/// Which levels have attention, full resolution first, when all blocks are of these kinds.
fn attended(blocks: &[String], [plain, attended]: Kinds, levels: usize) -> Option<Vec<bool>> {
    let one = |of: &String| if of == attended { Some(true) } else { (of == plain).then_some(false) };
    blocks.iter().map(one).collect::<Option<Vec<bool>>>().filter(|all| all.len() == levels)
}

/// The network that a `config.json` of diffusers describes.
///
/// # Errors
/// A [`SettingsError`] that names the setting.
pub fn network(json: &str) -> Result<Described<Network>, SettingsError> {
    let mut read = Reader::open(NETWORK_FILE, json, |class| class == "UNet2DModel", "UNet2DModel")?;
    let widths = read.list("block_out_channels", vec![224, 448, 672, 896], whole)?;
    let levels = widths.len();
    let channels = widths.first().copied().unwrap_or(0);
    let unequal = |width: &usize| !width.is_multiple_of(channels);
    if widths.is_empty() || widths.iter().any(unequal) {
        return Err(read.refuse("block_out_channels", "multiples of the first"));
    }
    let (skip, attended) = blocks(&mut read, levels)?;
    let image_channels = read.number("in_channels", 3)?;
    let outputs = read.number("out_channels", 3)?;
    if outputs != image_channels && (skip || outputs != 2 * image_channels) {
        return Err(read.refuse("out_channels", "in_channels, or twice as many with learned variances"));
    }
    // With scale_shift diffusers' attention in the middle has no normalisation, which is another graph.
    read.must("resnet_time_scale_shift", &["default"])?;
    let fourier = read.text("time_embedding_type", "positional")?;
    let style = match (skip, fourier.as_str()) {
        (false, "positional") => Style::Ddpm,
        (true, "positional" | "fourier") => {
            let noise = if fourier == "fourier" { NoiseEmbedding::Fourier } else { NoiseEmbedding::Positional };
            let (filter, encoder, decoder) = (Filter::Binomial, Encoder::Skip, Decoder::Skip);
            Style::Song(Song { filter, encoder, decoder, noise })
        }
        _ => return Err(read.refuse("time_embedding_type", "positional, or fourier with skip blocks")),
    };
    let classes = read.optional("num_class_embeds")?.unwrap_or(0);
    let centres = read.flag("center_input_sample", false)?;
    if centres && fourier != "fourier" {
        return Err(read.refuse("center_input_sample", "false"));
    }
    let details = Details {
        cosines_first: read.flag("flip_sin_to_cos", true)? && fourier == "positional",
        frequency_shift: if fourier == "positional" { read.number("freq_shift", 0)? } else { 1 },
        // Skip blocks halve otherwise.
        padding: if skip { 0 } else { read.number("downsample_padding", 1)? },
        epsilon: read.real("norm_eps", 1e-5)?,
        // Left out it is 8; null is one head for all channels.
        head_channels: if read.settings.contains_key("attention_head_dim") {
            read.optional("attention_head_dim")?
        } else {
            Some(8)
        },
        // diffusers' pipelines know of no class that means none.
        without_class: classes == 0,
        // Variance-exploding networks are shown pixels from 0 to 1, which most centre themselves.
        unit_pixels: fourier == "fourier" && !centres,
    };
    let config = UNetConfig {
        image_channels,
        channels,
        multipliers: widths.iter().map(|width| width / channels).collect(),
        layers: read.number("layers_per_block", 2)?,
        attention_levels: (0..levels).filter(|level| attended[*level]).collect(),
        classes,
        dropout: 0.0,
        learned_variance: outputs == 2 * image_channels,
        groups: if skip { 32 } else { read.number("norm_num_groups", 32)? },
        heads: 1,
        style,
        details: (details != style.details()).then_some(details),
    };
    if skip {
        skip_blocks(&mut read, &config, &widths)?;
    } else if read.real("mid_block_scale_factor", 1.0)? != 1.0 {
        return Err(read.refuse("mid_block_scale_factor", "1"));
    }
    read.must("act_fn", &["silu", "swish"])?;
    read.must("downsample_type", &["conv"])?;
    read.must("upsample_type", &["conv"])?;
    read.must("mid_block_type", &["UNetMidBlock2D"])?;
    if !read.flag("add_attention", true)? {
        return Err(read.refuse("add_attention", "true"));
    }
    for absent in ["class_embed_type", "attn_norm_num_groups"] {
        if read.get(absent).is_some() {
            return Err(read.refuse(absent, "null"));
        }
    }
    let image_size = read.optional("sample_size")?.map(u32::try_from).transpose();
    let Ok(image_size) = image_size else { return Err(read.refuse("sample_size", "a whole number or null")) };
    // What dropout and the number of training steps say matters to training alone.
    read.asked.extend([
        "dropout",
        "num_train_timesteps",
        "attention_head_dim",
        "downsample_padding",
        "freq_shift",
        "flip_sin_to_cos",
    ]);
    config.validate()?;
    Ok(Described { of: Network { config, image_size }, unread: read.unread() })
}

/// Whether the blocks are those with progressive input and output, and which levels have attention.
fn blocks(read: &mut Reader, levels: usize) -> Result<(bool, Vec<bool>), SettingsError> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let usual = |[first, other]: Kinds| {
        let mut kinds = vec![other.to_owned(); levels];
        if let Some(kind_of_first) = kinds.first_mut() {
            first.clone_into(kind_of_first);
        }
        kinds
    };
    let down = read.list("down_block_types", usual(PLAIN[0]), text)?;
    let mut up_usual = usual(PLAIN[1]);
    up_usual.reverse();
    let mut up = read.list("up_block_types", up_usual, text)?;
    up.reverse();
    let skip = down.iter().any(|kind| SKIP[0].contains(&kind.as_str()));
    let [of_down, of_up] = if skip { SKIP } else { PLAIN };
    let Some(found) = attended(&down, of_down, levels) else {
        let wanted = "DownBlock2D or AttnDownBlock2D, or all SkipDownBlock2D or AttnSkipDownBlock2D, one a level";
        return Err(read.refuse("down_block_types", wanted));
    };
    if attended(&up, of_up, levels).as_ref() != Some(&found) {
        let wanted = "the same kinds as down_block_types, with attention at the levels of the way down";
        return Err(read.refuse("up_block_types", wanted));
    }
    Ok((skip, found))
}

/// What skip blocks need beside the shape: sums divided by the root of 2 in the middle too, the numbers of groups that
/// follow from those of channels, one head, no classes.
fn skip_blocks(read: &mut Reader, config: &UNetConfig, widths: &[usize]) -> Result<(), SettingsError> {
    let factor = read.real("mid_block_scale_factor", 1.0)?;
    if (factor - core::f64::consts::SQRT_2).abs() > ROOT_SLACK {
        return Err(read.refuse("mid_block_scale_factor", "the root of 2 with skip blocks"));
    }
    if config.classes > 0 {
        return Err(read.refuse("num_class_embeds", "null with skip blocks"));
    }
    if let Some(groups) = read.optional("norm_num_groups")? {
        let ends = [widths.first(), widths.last()];
        if ends.into_iter().flatten().any(|width| config.groups_of(*width) != groups) {
            return Err(read.refuse("norm_num_groups", "null, or 32 from 128 channels on, with skip blocks"));
        }
    }
    // There diffusers has 32 groups, whatever the channels.
    if config.attention_levels.iter().any(|level| widths.get(*level).is_some_and(|width| *width < WIDE)) {
        return Err(read.refuse("block_out_channels", "at least 128 where skip blocks have attention"));
    }
    Ok(())
}
