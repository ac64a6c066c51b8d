//! The shaders, as CubeCL launches them.

use cubecl::ir::metadata::Info;
use cubecl::ir::{ElemType, UIntKind};
use cubecl::prelude::{AddressType, ExecutionMode, KernelDefinition, KernelId, KernelMetadata, KernelSettings, Scope};
use cubecl::{CubeKernel, PrecompiledSource};

use super::convolution::Convolution;
use super::text::{Number, Rows, Text};

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
}

/// Numbers to be read at once where rows are so long.
pub fn step(of: usize) -> usize {
    if of.is_multiple_of(4) { 4 } else { 1 }
}

fn several(kind: &str, step: usize) -> String {
    if step == 4 { format!("vec4<{kind}>") } else { kind.to_owned() }
}

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
        text.complete(include_str!("normalisation.wgsl"))
    }
}

impl Attention {
    const THREADS: usize = 64;
    /// Weights that shared memory has room for, beside what else is in it.
    const ROOM: usize = 2048;

    /// Pixels that a workgroup looks from, of so many; none when there is no such division.
    pub fn queries(pixels: usize) -> Option<usize> {
        let fits = |queries: &usize| pixels.is_multiple_of(*queries) && queries * pixels <= Self::ROOM;
        [16, 8, 4].into_iter().find(fits)
    }

    fn text(&self) -> String {
        let mut text = Text::new(&[self.number]);
        text.line(&format!("alias T = {};", self.number.name()));
        text.constants(&[
            ("ROOM", Self::ROOM),
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

impl Program {
    /// Its text in WGSL.
    pub fn text(&self) -> String {
        match self {
            Self::Convolution(convolution) => convolution.text(),
            Self::Normalisation(normalisation) => normalisation.text(),
            Self::Attention(attention) => attention.text(),
            Self::Linear(linear) => linear.text(),
            Self::Stack(stack) => stack.text(),
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
