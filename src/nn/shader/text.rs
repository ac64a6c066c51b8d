//! The text of a shader: constants and bindings, then a body with a few conditions; and the words for what is in buffers.

use std::fmt::Write;

/// Numbers in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Number {
    /// IEEE 754 binary32.
    Single,
    /// IEEE 754 binary16.
    Half,
}

impl Number {
    /// Its name in WGSL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "f32",
            Self::Half => "f16",
        }
    }
}

/// What follows a normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Then {
    /// Nothing.
    Nothing,
    /// SiLU.
    Silu,
    /// ELU.
    Elu,
}

impl Then {
    /// The line that does it to `value`.
    pub fn line(self) -> String {
        match self {
            Self::Nothing => "",
            // Where the exponential is infinite, some devices divide otherwise than IEEE 754.
            Self::Silu => "value = value / (1.0 + exp(min(-value, 80.0)));\n",
            Self::Elu => "value = select(exp(min(value, 0.0)) - 1.0, value, value > 0.0);\n",
        }
        .to_owned()
    }
}

/// Rows of what is combined with other rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rows {
    /// There are none.
    None,
    /// One, for all.
    One,
    /// One for each.
    Each,
}

impl Rows {
    /// So many.
    pub fn new(count: usize) -> Self {
        match count {
            0 => Self::None,
            1 => Self::One,
            _ => Self::Each,
        }
    }

    /// The row for row `of` of the others.
    pub fn row(self, of: &str) -> &str {
        if self == Self::One { "0u" } else { of }
    }
}

/// How what is read is bound. In a browser every tensor has a buffer of its own, of which readers may share one; natively
/// tensors share buffers, which are bound in one way only within a pass.
const READ: &str = if cfg!(target_family = "wasm") { "read" } else { "read_write" };

/// A shader in the making.
#[derive(Debug, Default)]
pub struct Text {
    head: String,
    bindings: usize,
    flags: Vec<(&'static str, bool)>,
    parts: Vec<(&'static str, String)>,
}

impl Text {
    /// With these kinds of numbers in it.
    pub fn new(numbers: &[Number]) -> Self {
        let mut text = Self::default();
        if numbers.contains(&Number::Half) {
            text.head.push_str("enable f16;\n");
        }
        text
    }

    /// Another line before the body.
    pub fn line(&mut self, line: &str) {
        let _ = writeln!(self.head, "{line}");
    }

    /// Constants, each a `u32`.
    pub fn constants(&mut self, constants: &[(&str, usize)]) {
        for (name, value) in constants {
            self.line(&format!("const {name} = {value}u;"));
        }
    }

    /// The next buffer, of elements of this type; whether it is only read.
    pub fn buffer(&mut self, name: &str, element: &str, read: bool) {
        let (index, access) = (self.bindings, if read { READ } else { "read_write" });
        self.line(&format!("@group(0) @binding({index}) var<storage, {access}> {name}: array<{element}>;"));
        self.bindings += 1;
    }

    /// What differs from launch to launch, each a `u32` unless its type is given: the last that is bound.
    pub fn sizes(&mut self, names: &[&str]) {
        let typed = |name: &&str| if name.contains(':') { (*name).to_owned() } else { format!("{name}: u32") };
        let (fields, index) = (names.iter().map(typed).collect::<Vec<_>>().join(", "), self.bindings);
        self.line(&format!("struct Sizes {{ {fields} }}\n@group(0) @binding({index}) var<uniform> sizes: Sizes;"));
    }

    /// `F`, so many numbers of single precision at once, 1 or 4, and `sum_of` them.
    pub fn step(&mut self, step: usize) {
        self.constants(&[("STEP", step)]);
        let (kind, sum) = if step == 4 { ("vec4<f32>", "v.x + v.y + v.z + v.w") } else { ("f32", "v") };
        self.line(&format!("alias F = {kind};\nfn sum_of(v: F) -> f32 {{ return {sum}; }}"));
    }

    /// Keeps what stands between `#if` this and `#end`.
    pub fn flag(&mut self, flag: &'static str, holds: bool) {
        self.flags.push((flag, holds));
    }

    /// What a line of `#` and this name stands for.
    pub fn part(&mut self, name: &'static str, lines: String) {
        self.parts.push((name, lines));
    }

    /// The whole text.
    ///
    /// # Panics
    /// When the body names a condition or a part that this text does not have.
    pub fn complete(self, body: &str) -> String {
        let mut whole = self.head;
        let mut kept = true;
        for line in body.lines() {
            match line.trim().strip_prefix('#') {
                Some("end") => kept = true,
                Some(rest) if rest.starts_with("if ") => {
                    let flag = self.flags.iter().find(|flag| flag.0 == &rest[3..]);
                    kept = flag.expect("a condition of this shader").1;
                }
                Some(name) if kept => {
                    let part = self.parts.iter().find(|part| part.0 == name);
                    whole.push_str(&part.expect("a part of this shader").1);
                }
                None if kept => {
                    whole.push_str(line);
                    whole.push('\n');
                }
                _ => {}
            }
        }
        whole
    }
}
