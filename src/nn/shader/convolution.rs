//! The shader of convolutions, and of matrices at every pixel.

use std::fmt::Write;

use super::text::{Number, Rows, Text, Then};

/// A convolution, with what comes before and after it in the same pass. Channels and sizes of images are told at each
/// launch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Convolution {
    /// How the work is divided.
    pub tile: Tile,
    /// Length of a kernel's side.
    pub side: usize,
    /// Pixels of the (doubled) source from one pixel of the result to the next.
    pub stride: usize,
    /// Zeros above and to the left.
    pub pad: usize,
    /// Whether every pixel of the source is seen twice in both directions.
    pub double: bool,
    /// Whether channels are first multiplied by a number and another added.
    pub normed: bool,
    /// What comes after that.
    pub then: Then,
    /// Pixels of the source from one number of a kernel to the next.
    pub dilation: usize,
    /// Rows of numbers to be added to the channels.
    pub shifts: Rows,
    /// Whether another tensor is added in the end.
    pub added: bool,
    /// Numbers of the source.
    pub of: Number,
    /// Numbers of all others.
    pub number: Number,
}

/// What a workgroup does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Pixels of the result from left to right, and from top to bottom.
    pub size: [usize; 2],
    /// Of which a thread makes so many.
    pub pixels: usize,
    /// Quadruples of channels.
    pub lanes: usize,
    /// Channels of the source at a time.
    chunk: usize,
    /// Pixels of the source that are needed, from left to right and from top to bottom.
    patch: [usize; 2],
}

fn largest_divisor(of: usize, most: usize, unit: usize) -> usize {
    (unit..=most.max(unit)).rev().find(|d| of.is_multiple_of(*d) && d.is_multiple_of(unit)).unwrap_or(unit)
}

impl Tile {
    /// For so many channels of the source and the result, the result's height and width, a kernel's side, its stride and
    /// how far apart its numbers are, with so many numbers in shared memory.
    pub fn new(
        channels: [usize; 2],
        [height, width]: [usize; 2],
        side: usize,
        [stride, dilation]: [usize; 2],
        room: usize,
    ) -> Self {
        let pixels = if width.is_multiple_of(4) { 4 } else { 1 };
        let few = usize::from(height * width <= 16);
        let lanes = channels[1].div_ceil(4).min(8 << few);
        // As much work for a workgroup that has few channels.
        let most = (512 / lanes).clamp(64, 256) * pixels / 4;
        let across = largest_divisor(width, if side == 1 { most } else { most.min(16) }, pixels);
        let down = largest_divisor(height, (most / across).max(1), 1);
        let patch = [across, down].map(|length| (length - 1) * stride + (side - 1) * dilation + 1);
        let each = patch[0] * patch[1] + side * side * lanes * 4;
        let chunk = [16, 8, 4, 2].into_iter().find(|chunk| chunk * each <= room && chunk / 2 < channels[0]);
        Self { size: [across, down], pixels, lanes, chunk: chunk.unwrap_or(1), patch }
    }
}

impl Convolution {
    /// Its text in WGSL.
    pub fn text(&self) -> String {
        let tile = self.tile;
        let (taps, pixels) = (self.side * self.side, tile.pixels);
        let places = tile.size[0] * tile.size[1] / pixels;
        let mut text = Text::new(&[self.of, self.number]);
        text.line(&format!("alias T = {};", self.number.name()));
        let quad = pixels == 4;
        text.line(if quad { "alias Q = vec4<T>;\nalias F = vec4<f32>;" } else { "alias Q = T;\nalias F = f32;" });
        text.constants(&[
            ("SIDE", self.side),
            ("TAPS", taps),
            ("STRIDE", self.stride),
            ("DILATION", self.dilation),
            ("PAD", self.pad),
            ("UP", 1 + usize::from(self.double)),
            ("ACROSS", tile.size[0]),
            ("DOWN", tile.size[1]),
            ("PIXELS", pixels),
            ("PLACES", places),
            ("LANES", tile.lanes),
            ("THREADS", places * tile.lanes),
            ("CHUNK", tile.chunk),
            ("PATCH_ACROSS", tile.patch[0]),
            ("PATCH", tile.patch[0] * tile.patch[1]),
        ]);
        text.buffer("source", self.of.name(), true);
        text.buffer("weight", "T", true);
        text.buffer("bias", "T", true);
        if self.normed {
            text.buffer("affine", "vec2<f32>", true);
        }
        if self.shifts != Rows::None {
            text.buffer("shift", "T", true);
        }
        if self.added {
            text.buffer("rest", "Q", true);
        }
        text.buffer("results", "Q", false);
        text.sizes(&["inputs", "outputs", "source_height", "source_width", "height", "width", "factor: f32"]);
        text.flag("NORMED", self.normed);
        text.part("activate", self.then.line());
        let each = |line: &dyn Fn(usize) -> String| (0..pixels).map(line).collect::<String>();
        text.part("sums", each(&|p| format!("    var s{p} = vec4<f32>();\n")));
        // In half precision the products of a few channels are summed in it, and those sums in single precision.
        text.part("partial", each(&|p| format!("        var t{p} = vec4<T>();\n")));
        text.part("total", each(&|p| format!("        s{p} += vec4<f32>(t{p});\n")));
        text.part("products", self.products(pixels));
        text.part("results", self.results(pixels));
        text.complete(include_str!("convolution.wgsl"))
    }

    /// The products of one channel and one row of a kernel, written out: numbers that are used several times are read once.
    /// All rows written out would be three times as much to compile.
    fn products(&self, pixels: usize) -> String {
        let mut lines = String::new();
        for i in 0..(pixels - 1) * self.stride + (self.side - 1) * self.dilation + 1 {
            let _ = writeln!(lines, "                let v{i} = seen[corner + {i}u];");
        }
        for column in 0..self.side {
            let _ = writeln!(lines, "                let w{column} = kernels[k + {column}u * LANES];");
            for p in 0..pixels {
                let at = p * self.stride + column * self.dilation;
                let _ = writeln!(lines, "                t{p} += w{column} * v{at};");
            }
        }
        lines
    }

    /// Four channels of the result.
    fn results(&self, pixels: usize) -> String {
        let mut lines = String::new();
        for channel in 0..4 {
            let sums: Vec<String> = (0..pixels).map(|p| format!("s{p}[{channel}]")).collect();
            let _ = writeln!(
                lines,
                "    if (output + {channel}u < sizes.outputs) {{\n        let o = output + {channel}u;"
            );
            let _ = writeln!(lines, "        var v = (F({}) + f32(bias[o])) * sizes.factor;", sums.join(", "));
            if self.shifts != Rows::None {
                let row = self.shifts.row("image");
                let _ = writeln!(lines, "        v += f32(shift[{row} * sizes.outputs + o]);");
            }
            lines.push_str(
                "        let at = (((image * sizes.outputs + o) * sizes.height + top + y) * sizes.width + left + x) / PIXELS;\n",
            );
            if self.added {
                lines.push_str("        v += F(rest[at]);\n");
            }
            lines.push_str("        results[at] = Q(v);\n    }\n");
        }
        lines
    }
}
