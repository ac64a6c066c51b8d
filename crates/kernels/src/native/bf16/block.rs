//! Blocks of results: thirty-two rows of sixteen or thirty-two, sums of products of tiles that lie anywhere.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::amx::Amx;
use super::{Kind, Line, kinds};
use crate::lanes::{F32x16, LANES, Lanes, Task, run};

/// Rows and columns of a block.
pub const SIDE: usize = 2 * LANES;

/// Where the tiles are whose products are added up: in one factor and in the other.
#[derive(Debug, Default)]
pub struct Steps {
    /// In bytes.
    pub(super) offsets: Vec<[usize; 2]>,
    /// The largest of either, in lines.
    reach: [usize; 2],
}

impl Steps {
    /// Of offsets in lines.
    pub fn new(offsets: impl Iterator<Item = [usize; 2]>) -> Self {
        let mut reach = [0; 2];
        let mut bytes = |lines: [usize; 2]| {
            reach = [reach[0].max(lines[0]), reach[1].max(lines[1])];
            lines.map(|lines| lines * size_of::<Line>())
        };
        let offsets = offsets.map(&mut bytes).collect();
        Self { offsets, reach }
    }
}

/// Sums of products of tiles.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Where the tiles are.
    pub steps: &'a Steps,
    /// One factor: its lines are rows, pairs of terms.
    pub a: &'a [Line],
    /// The other: its lines are pairs of rows.
    pub b: &'a [Line],
    /// From a tile of `a` to that of the rows after, of `b` to that of the columns after, in lines.
    pub tiles: [usize; 2],
    /// Whether there are thirty-two columns, or sixteen.
    pub wide: bool,
}

impl Block<'_> {
    /// How many steps; `None` of none.
    ///
    /// # Panics
    /// When a factor ends before the last of its tiles.
    pub(super) fn checked(&self) -> Option<usize> {
        let last = self.steps.reach[0] + self.tiles[0] + LANES;
        assert!(self.a.len() >= last, "the first factor is shorter than the steps say");
        let last = self.steps.reach[1] + if self.wide { self.tiles[1] } else { 0 } + LANES;
        assert!(self.b.len() >= last, "the second factor is shorter than the steps say");
        (!self.steps.offsets.is_empty()).then_some(self.steps.offsets.len())
    }

    /// The products of no steps.
    pub(super) fn none(&self, c: &mut Results, add: bool) {
        if !add {
            *c = Results::ZERO;
        }
    }
}

/// Four tiles: rows 0 to 15 with columns 0 to 15, then with columns 16 to 31, then the same of rows 16 to 31.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct Results(pub [[F32x16; LANES]; 4]);

impl Results {
    /// All zero.
    pub const ZERO: Self = Self([[[0.0; LANES]; LANES]; 4]);

    /// Sixteen columns of a row.
    #[inline(always)]
    pub fn row(&self, row: usize, sixteen: usize) -> &F32x16 {
        &self.0[row / LANES * 2 + sixteen][row % LANES]
    }
}

/// What multiplies blocks, in this thread.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    /// Matrix units.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx(Amx),
    /// Vector units, which are known to be there.
    #[cfg(target_arch = "x86_64")]
    Avx512(vector::Avx512),
    /// Plain arithmetic.
    Plain,
}

impl Unit {
    /// The fastest there is.
    pub fn best() -> Self {
        #[cfg(test)]
        if let Some(kind) = super::tests::FORCED.get() {
            return Self::of(kind);
        }
        static BEST: std::sync::OnceLock<Kind> = std::sync::OnceLock::new();
        Self::of(*BEST.get_or_init(|| kinds()[0]))
    }

    fn of(kind: Kind) -> Self {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if kind == Kind::Amx
            && let Some(unit) = Amx::here()
        {
            return Self::Amx(unit);
        }
        #[cfg(target_arch = "x86_64")]
        if kind != Kind::Plain
            && let Some(unit) = vector::Avx512::here()
        {
            return Self::Avx512(unit);
        }
        let _ = kind;
        Self::Plain
    }

    /// The products of a block, added to `c` if `add`. Columns that a narrow block has not stay as they are.
    ///
    /// # Panics
    /// When a factor ends before the last of its tiles.
    pub fn multiply(self, block: &Block<'_>, c: &mut Results, add: bool) {
        match self {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx(unit) => unit.multiply(block, c, add),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(unit) => unit.multiply(block, c, add),
            Self::Plain => run(Plain(block, c, add)),
        }
    }
}

struct Plain<'a, 'b>(&'a Block<'b>, &'a mut Results, bool);

impl Task for Plain<'_, '_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self(block, c, add) = self;
        if block.checked().is_none() {
            return block.none(c, add);
        }
        let sixteens = if block.wide { 2 } else { 1 };
        for (row, sixteen) in (0..SIDE).flat_map(|row| (0..sixteens).map(move |sixteen| (row, sixteen))) {
            let place = &mut c.0[row / LANES * 2 + sixteen][row % LANES];
            let mut sum = if add { l.load(place) } else { l.splat(0.0) };
            for offsets in &block.steps.offsets {
                let [a, b] = offsets.map(|bytes| bytes / size_of::<Line>());
                let a = &block.a[a + row / LANES * block.tiles[0] + row % LANES];
                let b = &block.b[b + sixteen * block.tiles[1]..][..LANES];
                for (pair, line) in a.0.iter().zip(b) {
                    let (mut low, mut high) = ([0.0; LANES], [0.0; LANES]);
                    for (lane, word) in line.0.iter().enumerate() {
                        low[lane] = f32::from_bits(word << 16);
                        high[lane] = f32::from_bits(word & 0xffff_0000);
                    }
                    sum = l.scale_add(l.load(&low), f32::from_bits(pair << 16), sum);
                    sum = l.scale_add(l.load(&high), f32::from_bits(pair & 0xffff_0000), sum);
                }
            }
            l.store(sum, place);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod vector {
    #![allow(unsafe_code)]

    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_load_ps, _mm512_load_si512, _mm512_set1_epi32,
        _mm512_setzero_ps, _mm512_store_ps,
    };

    use super::{Block, LANES, Line, Results, SIDE};

    /// A processor that has AVX512-BF16.
    #[derive(Clone, Copy, Debug)]
    pub struct Avx512(());

    /// Rows of a block whose sums are in registers together.
    const ROWS: usize = 8;

    impl Avx512 {
        pub fn here() -> Option<Self> {
            let found =
                std::arch::is_x86_feature_detected!("avx512bf16") && std::arch::is_x86_feature_detected!("avx512f");
            found.then_some(Self(()))
        }

        pub fn multiply(self, block: &Block<'_>, c: &mut Results, add: bool) {
            if block.checked().is_none() {
                return block.none(c, add);
            }
            for first in (0..SIDE).step_by(ROWS) {
                // SAFETY: the processor has the instructions, and `checked` asserted that all tiles are within the factors.
                unsafe { if block.wide { rows::<2>(block, first, c, add) } else { rows::<1>(block, first, c, add) } }
            }
        }
    }

    /// # Safety
    /// The processor must have AVX512-BF16, and the tiles of the block must be within its factors.
    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn rows<const WIDE: usize>(block: &Block<'_>, first: usize, c: &mut Results, add: bool) {
        let tile = first / LANES;
        // SAFETY: references to sixteen aligned numbers.
        let read =
            |place: &[f32; LANES]| unsafe { if add { _mm512_load_ps(place.as_ptr()) } else { _mm512_setzero_ps() } };
        let mut sums: [[__m512; WIDE]; ROWS] =
            std::array::from_fn(|row| std::array::from_fn(|i| read(&c.0[2 * tile + i][first % LANES + row])));
        for offsets in &block.steps.offsets {
            // SAFETY: within the factors, by the contract: a row of a tile of one, and the sixteen lines of another.
            unsafe {
                let a = block.a.as_ptr().byte_add(offsets[0]).add(tile * block.tiles[0] + first % LANES);
                let b = block.b.as_ptr().byte_add(offsets[1]);
                for pair in 0..LANES {
                    let line = |i: usize| _mm512_load_si512(b.add(i * block.tiles[1] + pair).cast());
                    let factors: [__m512i; WIDE] = std::array::from_fn(line);
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let x = _mm512_set1_epi32((&(*a.add(row)).0)[pair].cast_signed());
                        for (sum, factor) in sums.iter_mut().zip(&factors) {
                            *sum = _mm512_dpbf16_ps(*sum, bits(x), bits(*factor));
                        }
                    }
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (i, sum) in sums.iter().enumerate() {
                // SAFETY: a reference to sixteen aligned numbers.
                unsafe { _mm512_store_ps(c.0[2 * tile + i][first % LANES + row].as_mut_ptr(), *sum) };
            }
        }
    }

    #[inline(always)]
    fn bits(x: __m512i) -> __m512bh {
        // SAFETY: both are 512 bits, whatever they mean.
        unsafe { std::mem::transmute::<__m512i, __m512bh>(x) }
    }

    const _: () = assert!(size_of::<Line>() == 64 && align_of::<Line>() == 64);
}
