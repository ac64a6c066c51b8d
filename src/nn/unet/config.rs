//! The shape of a U-Net.

use serde::{Deserialize, Serialize};

use super::refine::{BLOCKS, Refine, SHAPES, halvings};
use super::song::{Decoder, Encoder, NoiseEmbedding, Song};
use thiserror::Error;

/// Most levels of resolution: 256 pixels become one.
const MOST_LEVELS: usize = 9;
/// Most layers of a block.
const MOST_LAYERS: usize = 16;
/// Most channels anywhere.
const MOST_CHANNELS: usize = 4096;
/// Most noise levels that normalisations are told.
const MOST_NOISE_LEVELS: usize = 10_000;
/// Most classes.
const MOST_CLASSES: usize = 100_000;

/// Why there is no network of this shape.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ConfigError {
    /// A number is outside the range that is looked at.
    #[error("U-Net: {field} is {found}, allowed is {least} to {most}")]
    Range {
        /// Which number.
        field: &'static str,
        /// What it is.
        found: usize,
        /// Least allowed.
        least: usize,
        /// Most allowed.
        most: usize,
    },
    /// Group normalisation needs groups of equal size.
    #[error("U-Net: {channels} channels do not divide into {groups} groups")]
    Groups {
        /// Channels of a level.
        channels: usize,
        /// Groups of every normalisation.
        groups: usize,
    },
    /// Attention at a level that is not there.
    #[error("U-Net: attention at level {level}, but there are only {levels} levels")]
    Attention {
        /// The level.
        level: usize,
        /// How many there are.
        levels: usize,
    },
    /// Not a probability below 1.
    #[error("U-Net: a dropout of {0} is not in [0, 1)")]
    Dropout(f64),
    /// Nothing that can be added to a variance.
    #[error("U-Net: {0} is no number to add to variances: it must be in [1e-12, 1]")]
    Epsilon(f64),
    /// A RefineNet has one of three shapes, and is neither told classes nor trained with dropout.
    #[error("RefineNet: {0}")]
    Refine(&'static str),
}

/// Whose details a U-Net has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// Ho et al. 2020: times as `[sin, cos]`, the embedding added between the convolutions of a block.
    #[default]
    Ddpm,
    /// Nichol and Dhariwal 2021: times as `[cos, sin]` of slightly other frequencies, the embedding as a scale and a
    /// shift of the second normalisation, equal padding where the size is halved, and 1e-5 added to variances.
    Improved,
    /// Song et al. 2021 and Karras et al. 2022: residual blocks that halve and double, sums divided by the root of 2.
    Song(Song),
    /// Song and Ermon 2019 and 2020: RefineNets.
    Refine(Refine),
}

impl Style {
    /// Styles by the names of the systems that have them.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("ddpm", Self::Ddpm),
        ("improved", Self::Improved),
        ("ddpm++", Self::Song(Song::DDPM_PP)),
        ("ncsn++", Self::Song(Song::NCSN_PP)),
        ("ncsn", Self::Refine(Refine::NCSN)),
        ("ncsnv2", Self::Refine(Refine::NCSN_V2)),
    ];

    /// The style of a system.
    ///
    /// # Errors
    /// The names that there are.
    pub fn by_name(name: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, style)| *style);
        found.ok_or_else(|| format!("there are {}", Self::NAMES.map(|(known, _)| known).join(", ")))
    }

    /// What only networks of Song et al. have.
    #[must_use]
    pub fn song(self) -> Option<Song> {
        match self {
            Self::Song(song) => Some(song),
            Self::Ddpm | Self::Improved | Self::Refine(_) => None,
        }
    }

    /// What only networks of Song and Ermon have.
    #[must_use]
    pub fn refine(self) -> Option<Refine> {
        if let Self::Refine(refine) = self { Some(refine) } else { None }
    }

    /// The details that those who published such networks chose.
    #[must_use]
    pub fn details(self) -> Details {
        let ddpm = Details {
            cosines_first: false,
            frequency_shift: 1,
            padding: 0,
            epsilon: 1e-6,
            head_channels: None,
            without_class: true,
            unit_pixels: false,
        };
        match self {
            Self::Ddpm | Self::Song(_) | Self::Refine(_) => ddpm,
            Self::Improved => Details { cosines_first: true, frequency_shift: 0, padding: 1, epsilon: 1e-5, ..ddpm },
        }
    }
}

/// Details of a U-Net that leave no trace in a file of its weights; diffusers keeps them in a `config.json` beside it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Details {
    /// Whether the cosines of a time stand before its sines.
    pub cosines_first: bool,
    /// How many frequencies the features of a time stop short of `1 / 10,000`, less one: with 1 the last is that, with 0
    /// one more would be.
    pub frequency_shift: usize,
    /// Rows of zeros above and columns of zeros to the left where the size is halved, 0 or 1; below and to the right
    /// there is one of each.
    pub padding: usize,
    /// What normalisations add to variances.
    pub epsilon: f64,
    /// Channels of every head of attention, whatever the level's width; `None` for [`UNetConfig::heads`] everywhere.
    pub head_channels: Option<usize>,
    /// Whether the table of classes has a row for no class after those of the classes.
    pub without_class: bool,
    /// Whether the network is shown pixels from 0 to 1 instead of from -1 to 1.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unit_pixels: bool,
}

/// The shape of a U-Net. The default is [`UNetConfig::cifar10`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UNetConfig {
    /// Channels of an image.
    pub image_channels: usize,
    /// Channels at full resolution; even, and a multiple of `groups`.
    pub channels: usize,
    /// Multiples of `channels` at each level of resolution, full resolution first.
    pub multipliers: Vec<usize>,
    /// Residual blocks of a level on the way down; there is one more on the way up.
    pub layers: usize,
    /// Levels with attention after every residual block; there always is attention in the middle.
    pub attention_levels: Vec<usize>,
    /// Classes the network can be told; the row after the last of its table means no class, if there is one
    /// ([`Details::without_class`]). 0: it has no table.
    pub classes: usize,
    /// Share of the hidden numbers of a residual block that are dropped in training.
    pub dropout: f64,
    /// Whether there is a second half of output channels, for the variance (Nichol and Dhariwal 2021).
    pub learned_variance: bool,
    /// Groups of every normalisation; they divide the channels of every level. The most there are where they depend on the
    /// channels ([`Self::groups_of`]).
    pub groups: usize,
    /// Heads of every attention; they divide the channels of every level that has it.
    pub heads: usize,
    /// Whose details.
    pub style: Style,
    /// The details, where they are others than the style's. Not written when they are the same: readers of before would
    /// refuse what they do not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
}

impl Default for UNetConfig {
    fn default() -> Self {
        Self::cifar10()
    }
}

impl UNetConfig {
    /// Ho et al.'s network for CIFAR-10.
    #[must_use]
    pub fn cifar10() -> Self {
        Self {
            image_channels: 3,
            channels: 128,
            multipliers: vec![1, 2, 2, 2],
            layers: 2,
            attention_levels: vec![1],
            classes: 0,
            dropout: 0.1,
            learned_variance: false,
            groups: 32,
            heads: 1,
            style: Style::Ddpm,
            details: None,
        }
    }

    /// A network of Song and Ermon for up to 64 pixels; with 128 channels that for CIFAR-10.
    #[must_use]
    pub fn refine(refine: Refine, channels: usize) -> Self {
        Self {
            channels,
            multipliers: SHAPES[0].to_vec(),
            layers: BLOCKS,
            attention_levels: Vec::new(),
            dropout: 0.0,
            style: Style::Refine(refine),
            ..Self::cifar10()
        }
    }

    /// The details: its own, or the style's.
    #[must_use]
    pub fn details(&self) -> Details {
        self.details.unwrap_or_else(|| self.style.details())
    }

    /// Heads of attention at a level of so many channels.
    #[must_use]
    pub fn heads_of(&self, channels: usize) -> usize {
        self.details().head_channels.map_or(self.heads, |head| channels / head.max(1))
    }

    /// Groups of a normalisation of so many channels: in Song et al.'s networks of at least four channels each.
    #[must_use]
    pub fn groups_of(&self, channels: usize) -> usize {
        if self.style.song().is_some() { self.groups.min(channels / 4) } else { self.groups }
    }

    /// Length of the features of a noise level.
    #[must_use]
    pub fn feature_width(&self) -> usize {
        let fourier = self.style.song().is_some_and(|song| song.noise == NoiseEmbedding::Fourier);
        self.channels * if fourier { 2 } else { 1 }
    }

    /// Length of the vectors of classes: of the embedding, or in Song et al.'s networks of the features that go into it.
    #[must_use]
    pub fn class_width(&self) -> usize {
        if self.style.song().is_some() { self.feature_width() } else { self.embedding_width() }
    }

    /// What the way down is told of the image at lower resolution, if anything.
    #[must_use]
    pub fn progressive_input(&self) -> Option<Encoder> {
        self.style.song().map(|song| song.encoder).filter(|encoder| *encoder != Encoder::Standard)
    }

    /// Whether the output is the sum of those of all levels.
    #[must_use]
    pub(super) fn sums_levels(&self) -> bool {
        self.style.song().is_some_and(|song| song.decoder == Decoder::Skip)
    }

    /// Says whether the table of classes has a row for no class.
    pub fn set_without_class(&mut self, without_class: bool) {
        let details = Details { without_class, ..self.details() };
        self.details = (details != self.style.details()).then_some(details);
    }

    /// Whether the network always wants a class: its table has none for no class.
    #[must_use]
    pub fn requires_class(&self) -> bool {
        self.classes > 0 && !self.details().without_class
    }

    /// Rows of the table of classes.
    #[must_use]
    pub fn class_rows(&self) -> usize {
        if self.classes == 0 { 0 } else { self.classes + usize::from(self.details().without_class) }
    }

    /// Whether there is a network of this shape, of a size worth looking at.
    ///
    /// # Errors
    /// A [`ConfigError`] that says why not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let range = |field, found: usize, least: usize, most: usize| {
            if (least..=most).contains(&found) { Ok(()) } else { Err(ConfigError::Range { field, found, least, most }) }
        };
        range("image_channels", self.image_channels, 1, 64)?;
        range("channels", self.channels, 4, MOST_CHANNELS)?;
        range("levels", self.multipliers.len(), 1, MOST_LEVELS)?;
        range("layers", self.layers, 1, MOST_LAYERS)?;
        range("classes", self.classes, 0, MOST_CLASSES)?;
        if let Some(Refine { levels }) = self.style.refine() {
            return self.validate_refine(levels);
        }
        range("groups", self.groups, 1, MOST_CHANNELS)?;
        range("channels modulo 2", self.channels % 2, 0, 0)?;
        for &multiplier in &self.multipliers {
            range("a multiplier", multiplier, 1, MOST_CHANNELS / self.channels)?;
        }
        for channels in std::iter::once(self.channels).chain(self.widths()) {
            let groups = self.groups_of(channels);
            if groups == 0 || channels % groups != 0 {
                return Err(ConfigError::Groups { channels, groups });
            }
        }
        range("heads", self.heads, 1, MOST_CHANNELS)?;
        let widths = self.widths();
        let attended = self.attention_levels.iter().filter_map(|level| widths.get(*level)).chain(widths.last());
        let details = self.details();
        for &channels in attended {
            range("channels modulo heads", channels % self.heads, 0, 0)?;
            if let Some(head) = details.head_channels {
                range("head_channels", head, 1, channels)?;
                range("channels modulo head_channels", channels % head, 0, 0)?;
            }
        }
        range("frequency_shift", details.frequency_shift, 0, 1)?;
        range("padding", details.padding, 0, 1)?;
        if !(1e-12..=1.0).contains(&details.epsilon) {
            return Err(ConfigError::Epsilon(details.epsilon));
        }
        let levels = self.multipliers.len();
        if let Some(&level) = self.attention_levels.iter().find(|level| **level >= levels) {
            return Err(ConfigError::Attention { level, levels });
        }
        if (0.0..1.0).contains(&self.dropout) { Ok(()) } else { Err(ConfigError::Dropout(self.dropout)) }
    }

    /// What a RefineNet can be beside its channels and noise levels.
    fn validate_refine(&self, levels: usize) -> Result<(), ConfigError> {
        let shaped = SHAPES.contains(&&self.multipliers[..]);
        let wrong = if !shaped || self.layers != BLOCKS || !self.attention_levels.is_empty() {
            "its stages have 1,2,2,2, 1,2,2,4,4 or 1,2,2,2,4,4 times the channels, 2 blocks each and no attention"
        } else if self.classes > 0 || self.learned_variance || self.dropout != 0.0 || self.details.is_some() {
            "it is told no classes, learns no variance, and has neither dropout nor other details"
        } else if levels == 1 || levels > MOST_NOISE_LEVELS {
            "it is told of 2 to 10,000 noise levels, or of none"
        } else if self.widths().iter().any(|width| *width > MOST_CHANNELS) {
            "a stage has more than 4096 channels"
        } else {
            return Ok(());
        };
        Err(ConfigError::Refine(wrong))
    }

    /// Channels of each level, full resolution first.
    #[must_use]
    pub fn widths(&self) -> Vec<usize> {
        self.multipliers.iter().map(|multiplier| self.channels * multiplier).collect()
    }

    /// Length of the embedding of time and class.
    #[must_use]
    pub fn embedding_width(&self) -> usize {
        4 * self.channels
    }

    /// Channels of the output.
    #[must_use]
    pub fn output_channels(&self) -> usize {
        self.image_channels * if self.learned_variance { 2 } else { 1 }
    }

    /// What height and width of an image must be multiples of.
    #[must_use]
    pub fn size_multiple(&self) -> usize {
        let stages = self.multipliers.len();
        if self.style.refine().is_some() {
            return 1 << halvings(stages).min(31);
        }
        1 << stages.saturating_sub(1).min(31)
    }
}
