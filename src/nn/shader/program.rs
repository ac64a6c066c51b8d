//! The shaders, as CubeCL launches them.

use cubecl::ir::metadata::Info;
use cubecl::ir::{ElemType, UIntKind};
use cubecl::prelude::{AddressType, ExecutionMode, KernelDefinition, KernelId, KernelMetadata, KernelSettings, Scope};
use cubecl::{CubeKernel, PrecompiledSource};

use super::convolution::Convolution;
use super::text::{Number, Rows, Text, Then};
use crate::nn::resampling::{MEAN, Resampling};

/// Group normalisation's scales and shifts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Normalisation {
    /// Threads of a group of channels.
    pub threads: usize,
    /// Numbers of the source that are read at once.
    pub step: usize,
    /// The bits of what is added to variances.
    pub epsilon: u32,
    /// Rows of another scale (about 1) and shift of the channels.
    pub scale_shift: Rows,
    /// Numbers of the source, and of that scale and shift.
    pub numbers: [Number; 2],
}

/// Attention within each head of each image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attention {
    /// Pixels that a workgroup looks from.
    pub queries: usize,
    /// Weights of them all.
    pub room: usize,
    /// Numbers of everything.
    pub number: Number,
}

/// A matrix and what is added.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Linear {
    /// Numbers of the source that are read at once.
    pub step: usize,
    /// Rows of the source, and of what is added to the result: the same for all rows of the result, or one for each.
    pub rows: [Rows; 2],
    /// Whether SiLU comes last.
    pub activated: bool,
    /// Numbers of the source, of what is added, and of all others.
    pub numbers: [Number; 3],
}

/// Two tensors one after the other, for each image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stack {
    /// Numbers that a thread moves.
    pub step: usize,
    /// Numbers of all.
    pub number: Number,
}

/// Maps of another height and width.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resample {
    /// Which.
    pub how: Resampling,
    /// Whether a normalisation's scales and shifts come first.
    pub normed: bool,
    /// What comes after them.
    pub then: Then,
    /// Numbers of source and result.
    pub number: Number,
}

/// The largest number around every pixel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Side of the square.
    pub side: usize,
    /// What comes first.
    pub then: Then,
    /// Numbers of source and result.
    pub number: Number,
}

/// Scales and shifts of an instance normalisation with the channels' means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    /// The bits of what is added to variances.
    pub epsilon: u32,
    /// Rows of scales, shares of means and shifts.
    pub rows: Rows,
    /// Numbers of the source, and of those rows.
    pub numbers: [Number; 2],
}

/// A shader: everything its text depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Program {
    /// See [`Convolution`].
    Convolution(Convolution),
    /// See [`Normalisation`].
    Normalisation(Normalisation),
    /// See [`Attention`].
    Attention(Attention),
    /// See [`Linear`].
    Linear(Linear),
    /// See [`Stack`].
    Stack(Stack),
    /// See [`Resample`].
    Resample(Resample),
    /// See [`Window`].
    Window(Window),
    /// See [`Instance`].
    Instance(Instance),
}

/// Numbers to be read at once where rows are so long.
pub fn step(of: usize) -> usize {
    if of.is_multiple_of(4) { 4 } else { 1 }
}

fn several(kind: &str, step: usize) -> String {
    if step == 4 { format!("vec4<{kind}>") } else { kind.to_owned() }
}

/// The sum of a number of every thread of a workgroup, in WGSL.
const TOTAL: &str = include_str!("total.wgsl");

impl Normalisation {
    /// Threads for a group of so many numbers: each has a few turns.
    pub fn threads(numbers: usize) -> usize {
        if numbers < 8192 { 64 } else { 256 }
    }

    fn text(&self) -> String {
        let mut text = Text::new(&self.numbers);
        text.step(self.step);
        text.constants(&[("THREADS", self.threads)]);
        text.line(&format!("const EPSILON = {:?}f;", f32::from_bits(self.epsilon)));
        text.buffer("source", &several(self.numbers[0].name(), self.step), true);
        text.buffer("weight", "f32", true);
        text.buffer("bias", "f32", true);
        if self.scale_shift != Rows::None {
            text.buffer("scale_shift", self.numbers[1].name(), true);
        }
        text.buffer("affine", "vec2<f32>", false);
        text.sizes(&["channels", "share", "pixels"]);
        text.flag("SCALE_SHIFT", self.scale_shift != Rows::None);
        text.part("row", format!("        let row = {} * (2u * sizes.channels);\n", self.scale_shift.row("group.y")));
        text.part("total", TOTAL.to_owned());
        text.complete(include_str!("normalisation.wgsl"))
    }
}

impl Attention {
    const THREADS: usize = 64;
    /// Weights that shared memory has room for, beside what else is in it.
    const ROOM: usize = 2048;

    /// For so many pixels; none when there is no division of them whose weights fit into shared memory. Of `room` weights
    /// there are more only where nothing less will do.
    pub fn new(pixels: usize, number: Number, room: usize) -> Option<Self> {
        let within = |most: usize| {
            let fits = |queries: &usize| pixels.is_multiple_of(*queries) && queries * pixels <= most;
            [16, 8, 4].into_iter().find(fits)
        };
        let queries = within(room.min(Self::ROOM)).or_else(|| within(Self::ROOM))?;
        Some(Self { queries, room: queries * pixels, number })
    }

    fn text(&self) -> String {
        let mut text = Text::new(&[self.number]);
        text.line(&format!("alias T = {};", self.number.name()));
        text.constants(&[
            ("ROOM", self.room),
            ("QUERIES", self.queries),
            ("SHARE", Self::THREADS / self.queries),
            ("THREADS", Self::THREADS),
        ]);
        for name in ["queries", "keys", "values"] {
            text.buffer(name, "vec4<T>", true);
        }
        text.buffer("results", "vec4<T>", false);
        text.sizes(&["channels", "pixels"]);
        text.complete(include_str!("attention.wgsl"))
    }
}

impl Linear {
    fn text(&self) -> String {
        let ([of, rest, number], [row, rest_row]) = (self.numbers, self.rows);
        let mut text = Text::new(&self.numbers);
        text.step(self.step);
        text.line(&format!("alias T = {};", number.name()));
        text.buffer("source", &several(of.name(), self.step), true);
        text.buffer("weight", &several("T", self.step), true);
        text.buffer("bias", "T", true);
        if rest_row != Rows::None {
            text.buffer("rest", rest.name(), true);
        }
        text.buffer("results", "T", false);
        text.sizes(&["inputs", "outputs"]);
        text.flag("ADDED", rest_row != Rows::None);
        text.flag("ACTIVATED", self.activated);
        text.part("row", format!("    let row = {};\n", row.row("place.y")));
        text.part("rest row", format!("    let rest_row = {};\n", rest_row.row("place.y")));
        text.complete(include_str!("linear.wgsl"))
    }
}

impl Stack {
    fn text(&self) -> String {
        let mut text = Text::new(&[self.number]);
        let element = several(self.number.name(), self.step);
        text.buffer("first", &element, true);
        text.buffer("second", &element, true);
        text.buffer("results", &element, false);
        text.sizes(&["first", "second"]);
        text.complete(include_str!("stack.wgsl"))
    }
}

impl Resample {
    fn text(&self) -> String {
        let (taps, before) = match self.how {
            Resampling::Halve(filter) | Resampling::Double(filter) | Resampling::Blur(filter) => {
                (filter.taps().to_vec(), filter.taps().len() / 2 - 1)
            }
            Resampling::Mean => (vec![1.0 / MEAN as f32; MEAN], MEAN / 2),
            Resampling::Stretch => (vec![1.0, 1.0], 0),
        };
        let (count, gain) = match self.how {
            Resampling::Double(_) => (taps.len() / 2, 4),
            _ => (taps.len(), 1),
        };
        let listed = taps.iter().map(|tap| format!("{tap:?}")).collect::<Vec<_>>().join(", ");
        let mut text = Text::new(&[self.number]);
        text.line(&format!("alias T = {};", self.number.name()));
        text.line(&format!("const COUNT = {count}i;\nconst BEFORE = {before}i;\nconst GAIN = {gain}.0f;"));
        text.buffer("source", "T", true);
        if self.normed {
            text.buffer("affine", "vec2<f32>", true);
        }
        text.buffer("results", "T", false);
        text.sizes(&["channels", "height", "width", "rows", "columns"]);
        text.flag("NORMED", self.normed);
        text.part("activate", self.then.line());
        let first = match self.how {
            Resampling::Halve(_) => "2 * at - BEFORE",
            Resampling::Blur(_) => "at - BEFORE - 1",
            Resampling::Mean => "at - BEFORE",
            Resampling::Stretch => "at * (length - 1) / (2 * length - 1)",
            // Rounded down: places are never below -1.
            Resampling::Double(_) => "((at + BEFORE) >> 1u) + 1 - COUNT",
        };
        text.part("first", format!("    return {first};\n"));
        let place = match self.how {
            Resampling::Double(_) => "at + BEFORE - 2 * place",
            _ => "i",
        };
        let taps = format!("var taps = array<f32, {}>({listed}); return taps[{place}];", taps.len());
        let weight = match self.how {
            Resampling::Stretch => {
                "let steps = 2 * length - 1; let share = f32(at * (length - 1) % steps) / f32(steps); \
                 return select(share, 1.0 - share, i == 0);"
            }
            _ => &taps,
        };
        text.part("weight", format!("    {weight}\n"));
        text.complete(include_str!("resample.wgsl"))
    }
}

impl Window {
    fn text(&self) -> String {
        let mut text = Text::new(&[self.number]);
        text.line(&format!("alias T = {};", self.number.name()));
        text.line(&format!("const REACH = {}i;", self.side / 2));
        text.buffer("source", "T", true);
        text.buffer("results", "T", false);
        text.sizes(&["channels", "height", "width"]);
        text.part("activate", self.then.line());
        text.complete(include_str!("window.wgsl"))
    }
}

impl Instance {
    /// Threads, each of which looks at a channel at a time.
    pub const THREADS: usize = 64;

    fn text(&self) -> String {
        let mut text = Text::new(&self.numbers);
        text.constants(&[("THREADS", Self::THREADS)]);
        text.line(&format!("const EPSILON = {:?}f;", f32::from_bits(self.epsilon)));
        text.buffer("source", self.numbers[0].name(), true);
        text.buffer("scales", self.numbers[1].name(), true);
        text.buffer("affine", "vec2<f32>", false);
        text.sizes(&["channels", "pixels"]);
        text.part("row", format!("    let row = {} * (3u * sizes.channels);\n", self.rows.row("image")));
        text.part("total", TOTAL.to_owned());
        text.complete(include_str!("instance.wgsl"))
    }
}

impl Program {
    /// Its text in WGSL.
    pub fn text(&self) -> String {
        match self {
            Self::Convolution(convolution) => convolution.text(),
            Self::Normalisation(normalisation) => normalisation.text(),
            Self::Attention(attention) => attention.text(),
            Self::Linear(linear) => linear.text(),
            Self::Stack(stack) => stack.text(),
            Self::Resample(resample) => resample.text(),
            Self::Window(window) => window.text(),
            Self::Instance(instance) => instance.text(),
        }
    }
}

impl KernelMetadata for Program {
    fn name(&self) -> &'static str {
        match self {
            Self::Convolution(_) => "convolution",
            Self::Normalisation(_) => "normalisation",
            Self::Attention(_) => "attention",
            Self::Linear(_) => "linear",
            Self::Stack(_) => "stack",
            Self::Resample(_) => "resample",
            Self::Window(_) => "window",
            Self::Instance(_) => "instance",
        }
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().mode(ExecutionMode::Unchecked).info(self.clone())
    }

    fn address_type(&self) -> ElemType {
        UIntKind::U32.into()
    }
}

impl CubeKernel for Program {
    fn define(&self) -> KernelDefinition {
        // Never compiled: `source` stands in for it.
        let settings = KernelSettings::new(self.id().cube_dim, ExecutionMode::Unchecked, AddressType::U32);
        KernelDefinition { body: Scope::root(settings.clone()), settings, info: Info::default() }
    }

    fn source(&self) -> Option<PrecompiledSource> {
        Some(PrecompiledSource { source: self.text(), entrypoint_name: "main".to_owned(), lang: "wgsl" })
    }
}
