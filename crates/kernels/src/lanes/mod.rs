//! Sixteen numbers at once, in the widest instructions the processor has. A program for all processors of a kind is
//! compiled for the oldest of them; what is here is compiled for three, and chosen when it runs.

#[cfg(test)]
pub(crate) mod tests;
#[cfg(target_arch = "wasm32")]
mod wasm;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86;

/// How many numbers go together.
pub const LANES: usize = 16;
/// As they lie in memory.
pub type F32x16 = [f32; LANES];

/// Sixteen pairs of numbers in bfloat16, each pair a word: what the processor's instructions for them read at once.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line(pub [u32; LANES]);

/// Whether this program is built for WebAssembly's relaxed vector instructions: products are fused with sums.
pub const RELAXED: bool = cfg!(all(target_arch = "wasm32", feature = "relaxed"));

/// Instructions for sixteen numbers. A value of such a type exists only where the processor has them.
pub trait Lanes: Copy {
    /// Sixteen numbers in registers.
    type Of: Copy;
    /// Rows of a block of a product, and its columns in sixteens: as many as there are registers for.
    const BLOCK: [usize; 2];

    /// One number sixteen times.
    fn splat(self, x: f32) -> Self::Of;
    /// From memory.
    fn load(self, x: &F32x16) -> Self::Of;
    /// Into memory.
    fn store(self, x: Self::Of, place: &mut F32x16);
    /// `a + b`
    fn add(self, a: Self::Of, b: Self::Of) -> Self::Of;
    /// `a - b`
    fn subtract(self, a: Self::Of, b: Self::Of) -> Self::Of;
    /// `a b`
    fn multiply(self, a: Self::Of, b: Self::Of) -> Self::Of;
    /// `a / b`
    fn divide(self, a: Self::Of, b: Self::Of) -> Self::Of;
    /// `a b + c`, rounded once where there are instructions for that.
    fn fused(self, a: Self::Of, b: Self::Of, c: Self::Of) -> Self::Of;
    /// The smaller, `b` if either is not a number.
    fn least(self, a: Self::Of, b: Self::Of) -> Self::Of;
    /// The larger, `b` if either is not a number.
    fn most(self, a: Self::Of, b: Self::Of) -> Self::Of;
    /// 2 to the whole number in the lowest bits of `x`, as adding 1.5 * 2^23 leaves it there.
    fn power_of_two(self, x: Self::Of) -> Self::Of;

    /// Both rounded to bfloat16, to the nearest and of two the even one, and side by side: each of the first in the lower
    /// half of a word. What is not a number stays none, unless all its bits are set.
    #[inline(always)]
    fn pairs(self, low: Self::Of, high: Self::Of) -> Line {
        let round = |x: f32| {
            let bits = x.to_bits();
            bits.wrapping_add(0x7fff + ((bits >> 16) & 1))
        };
        let (mut found, mut other) = ([0.0; LANES], [0.0; LANES]);
        self.store(low, &mut found);
        self.store(high, &mut other);
        let mut line = Line::default();
        for (place, (low, high)) in line.0.iter_mut().zip(found.iter().zip(other)) {
            *place = (round(*low) >> 16) | (round(high) & 0xffff_0000);
        }
        line
    }

    /// Rows and columns of sixteen times sixteen numbers exchanged, whatever their bits mean.
    #[inline(always)]
    fn transposed(self, rows: [Self::Of; LANES]) -> [Self::Of; LANES] {
        let mut numbers = [[0.0; LANES]; LANES];
        for (numbers, row) in numbers.iter_mut().zip(rows) {
            self.store(row, numbers);
        }
        let mut found = rows;
        for (column, found) in found.iter_mut().enumerate() {
            let mut turned = [0.0; LANES];
            turned.iter_mut().zip(&numbers).for_each(|(place, row)| *place = row[column]);
            *found = self.load(&turned);
        }
        found
    }

    /// `k x`
    #[inline(always)]
    fn scale(self, x: Self::Of, k: f32) -> Self::Of {
        self.multiply(x, self.splat(k))
    }

    /// `k x + y`
    #[inline(always)]
    fn scale_add(self, x: Self::Of, k: f32, y: Self::Of) -> Self::Of {
        self.fused(x, self.splat(k), y)
    }

    /// Up to sixteen numbers, then zeros.
    #[inline(always)]
    fn read(self, x: &[f32]) -> Self::Of {
        match x.first_chunk() {
            Some(x) => self.load(x),
            None => {
                let mut padded = [0.0; LANES];
                padded[..x.len()].copy_from_slice(x);
                self.load(&padded)
            }
        }
    }

    /// Into up to sixteen places.
    #[inline(always)]
    fn write(self, x: Self::Of, places: &mut [f32]) {
        match places.first_chunk_mut() {
            Some(places) => self.store(x, places),
            None => {
                let mut padded = [0.0; LANES];
                self.store(x, &mut padded);
                places.copy_from_slice(&padded[..places.len()]);
            }
        }
    }

    /// `e^x` for `x` held within `[-87, 88]`: [`crate::exp`].
    #[inline(always)]
    fn exp(self, x: Self::Of) -> Self::Of {
        const ROUND: f32 = 12_582_912.0;
        const LN_2_HIGH: f32 = 0.693_359_4;
        const LN_2_LOW: f32 = -2.121_944_4e-4;
        let x = self.least(self.splat(88.0), self.most(self.splat(-87.0), x));
        let shifted = self.scale_add(x, std::f32::consts::LOG2_E, self.splat(ROUND));
        let whole = self.subtract(shifted, self.splat(ROUND));
        let r = self.scale_add(whole, -LN_2_LOW, self.scale_add(whole, -LN_2_HIGH, x));
        let mut sum = self.splat(1.0 / 720.0);
        for factor in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            sum = self.fused(sum, r, self.splat(factor));
        }
        self.multiply(sum, self.power_of_two(shifted))
    }

    /// `1 / (1 + e^-x)`
    #[inline(always)]
    fn sigmoid(self, x: Self::Of) -> Self::Of {
        let one = self.splat(1.0);
        self.divide(one, self.add(one, self.exp(self.scale(x, -1.0))))
    }

    /// The sum of all sixteen, in pairs.
    #[inline(always)]
    fn total(self, x: Self::Of) -> f32 {
        let mut x = {
            let mut numbers = [0.0; LANES];
            self.store(x, &mut numbers);
            numbers
        };
        for half in [8, 4, 2, 1] {
            for lane in 0..half {
                x[lane] += x[lane + half];
            }
        }
        x[0]
    }
}

/// What every processor has; the compiler makes of it what vector instructions there are.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Plain {
    #[inline(always)]
    fn of(a: F32x16, b: F32x16, f: impl Fn(f32, f32) -> f32) -> F32x16 {
        let mut found = a;
        found.iter_mut().zip(b).for_each(|(a, b)| *a = f(*a, b));
        found
    }
}

impl Lanes for Plain {
    type Of = F32x16;
    const BLOCK: [usize; 2] = [2, 1];

    #[inline(always)]
    fn splat(self, x: f32) -> F32x16 {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, x: &F32x16) -> F32x16 {
        *x
    }

    #[inline(always)]
    fn store(self, x: F32x16, place: &mut F32x16) {
        *place = x;
    }

    #[inline(always)]
    fn add(self, a: F32x16, b: F32x16) -> F32x16 {
        Self::of(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn subtract(self, a: F32x16, b: F32x16) -> F32x16 {
        Self::of(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn multiply(self, a: F32x16, b: F32x16) -> F32x16 {
        Self::of(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn divide(self, a: F32x16, b: F32x16) -> F32x16 {
        Self::of(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn fused(self, a: F32x16, b: F32x16, c: F32x16) -> F32x16 {
        self.add(self.multiply(a, b), c)
    }

    #[inline(always)]
    fn least(self, a: F32x16, b: F32x16) -> F32x16 {
        Self::of(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn most(self, a: F32x16, b: F32x16) -> F32x16 {
        Self::of(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn power_of_two(self, x: F32x16) -> F32x16 {
        x.map(|x| f32::from_bits(x.to_bits().wrapping_add(127) << 23))
    }
}

/// Work that can be done with any of the instructions.
pub trait Task {
    /// Does it. To be `#[inline(always)]`, and everything in it that has lanes too, closures therefore being out of the
    /// question: a function is compiled for the instructions its caller is for only where it is inlined.
    fn run<L: Lanes>(self, lanes: L);
}

/// The instructions there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sixteen numbers at once, products fused with sums.
    Avx512,
    /// Eight, fused.
    Avx2,
    /// Whatever the program is compiled for.
    Plain,
}

/// Those of this processor, the widest first.
#[must_use]
pub fn kinds() -> Vec<Kind> {
    let known = [
        #[cfg(target_arch = "x86_64")]
        (Kind::Avx512, std::arch::is_x86_feature_detected!("avx512f")),
        #[cfg(target_arch = "x86_64")]
        (Kind::Avx2, std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")),
        (Kind::Plain, true),
    ];
    known.into_iter().filter_map(|(kind, there)| there.then_some(kind)).collect()
}

/// Does work with the widest instructions this processor has.
pub fn run<T: Task>(task: T) {
    #[cfg(test)]
    if let Some(kind) = tests::FORCED.get() {
        return run_as(kind, task);
    }
    #[cfg(target_arch = "wasm32")]
    wasm::run(task);
    #[cfg(not(target_arch = "wasm32"))]
    run_natively(task);
}

#[cfg(not(target_arch = "wasm32"))]
fn run_natively<T: Task>(task: T) {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return run_as(Kind::Avx512, task);
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            return run_as(Kind::Avx2, task);
        }
    }
    task.run(Plain);
}

/// Does work with some instructions; with plain ones where the processor has none of these.
#[inline]
pub fn run_as<T: Task>(kind: Kind, task: T) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f")]
        fn avx512<T: Task>(task: T, lanes: x86::Avx512) {
            task.run(lanes);
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2<T: Task>(task: T, lanes: x86::Avx2) {
            task.run(lanes);
        }
        if kind == Kind::Avx512 && std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has these instructions.
            #[allow(unsafe_code)]
            return unsafe { avx512(task, x86::Avx512(())) };
        }
        let fused = std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
        if kind == Kind::Avx2 && fused {
            // SAFETY: the processor has these instructions.
            #[allow(unsafe_code)]
            return unsafe { avx2(task, x86::Avx2(())) };
        }
    }
    let _ = kind;
    task.run(Plain);
}
