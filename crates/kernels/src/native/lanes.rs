//! Sixteen numbers at once, in the widest instructions the processor has. A program for all processors of a kind is
//! compiled for the oldest of them; what is here is compiled for three, and chosen when it runs.

/// How many numbers go together.
pub const LANES: usize = 16;
/// As they lie in memory.
pub type F32x16 = [f32; LANES];

/// Sixteen pairs of numbers in bfloat16, each pair a word: what the processor's instructions for them read at once.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line(pub [u32; LANES]);

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

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86 {
    //! SAFETY of every block here: the types are made by [`super::run`] and [`super::kinds`] alone, after they asked the
    //! processor, and references to sixteen numbers are to as many readable or writable ones, which the instructions
    //! want no alignment of.

    use std::arch::x86_64::{
        __m256, __m512, __m512i, _mm256_add_epi32, _mm256_add_ps, _mm256_castps_si256, _mm256_castsi256_ps,
        _mm256_div_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps,
        _mm256_set1_epi32, _mm256_set1_ps, _mm256_slli_epi32, _mm256_storeu_ps, _mm256_sub_ps, _mm512_add_epi32,
        _mm512_add_ps, _mm512_and_si512, _mm512_castpd_ps, _mm512_castps_pd, _mm512_castps_si512, _mm512_castsi512_ps,
        _mm512_div_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_or_si512,
        _mm512_set1_epi32, _mm512_set1_ps, _mm512_shuffle_f32x4, _mm512_slli_epi32, _mm512_srli_epi32,
        _mm512_store_si512, _mm512_storeu_ps, _mm512_sub_ps, _mm512_unpackhi_pd, _mm512_unpackhi_ps,
        _mm512_unpacklo_pd, _mm512_unpacklo_ps,
    };

    use super::{F32x16, LANES, Lanes, Line};

    /// AVX-512.
    #[derive(Clone, Copy, Debug)]
    pub struct Avx512(pub(super) ());

    /// AVX2 with fused products: two registers for sixteen numbers.
    #[derive(Clone, Copy, Debug)]
    pub struct Avx2(pub(super) ());

    impl Avx512 {
        /// In the upper halves the numbers in bfloat16.
        #[inline(always)]
        fn rounded(self, x: __m512) -> __m512i {
            unsafe {
                let bits = _mm512_castps_si512(x);
                let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
                _mm512_add_epi32(_mm512_add_epi32(bits, odd), _mm512_set1_epi32(0x7fff))
            }
        }
    }

    impl Lanes for Avx512 {
        type Of = __m512;
        const BLOCK: [usize; 2] = [12, 2];

        #[inline(always)]
        fn splat(self, x: f32) -> __m512 {
            unsafe { _mm512_set1_ps(x) }
        }

        #[inline(always)]
        fn load(self, x: &F32x16) -> __m512 {
            unsafe { _mm512_loadu_ps(x.as_ptr()) }
        }

        #[inline(always)]
        fn store(self, x: __m512, place: &mut F32x16) {
            unsafe { _mm512_storeu_ps(place.as_mut_ptr(), x) }
        }

        #[inline(always)]
        fn add(self, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_add_ps(a, b) }
        }

        #[inline(always)]
        fn subtract(self, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_sub_ps(a, b) }
        }

        #[inline(always)]
        fn multiply(self, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_mul_ps(a, b) }
        }

        #[inline(always)]
        fn divide(self, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_div_ps(a, b) }
        }

        #[inline(always)]
        fn fused(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        fn least(self, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_min_ps(a, b) }
        }

        #[inline(always)]
        fn most(self, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_max_ps(a, b) }
        }

        #[inline(always)]
        fn power_of_two(self, x: __m512) -> __m512 {
            unsafe {
                let whole = _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(127));
                _mm512_castsi512_ps(_mm512_slli_epi32::<23>(whole))
            }
        }

        #[inline(always)]
        fn pairs(self, low: __m512, high: __m512) -> Line {
            let mut line = Line::default();
            unsafe {
                let low = _mm512_srli_epi32::<16>(self.rounded(low));
                let high = _mm512_and_si512(self.rounded(high), _mm512_set1_epi32(-65536));
                _mm512_store_si512((&raw mut line).cast(), _mm512_or_si512(low, high));
            }
            line
        }

        #[inline(always)]
        fn transposed(self, r: [__m512; LANES]) -> [__m512; LANES] {
            // Pairs of rows, then fours, then in blocks of four columns.
            let (mut a, mut b, mut c, mut found) = (r, r, r, r);
            unsafe {
                for i in (0..LANES).step_by(2) {
                    a[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
                    a[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
                }
                for i in (0..LANES).step_by(4) {
                    for j in 0..2 {
                        let (x, y) = (_mm512_castps_pd(a[i + j]), _mm512_castps_pd(a[i + j + 2]));
                        b[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
                        b[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
                    }
                }
                // Of b[4 i + j], block k: column 4 k + j of rows 4 i to 4 i + 3.
                for j in 0..4 {
                    c[j] = _mm512_shuffle_f32x4::<0x88>(b[j], b[4 + j]);
                    c[4 + j] = _mm512_shuffle_f32x4::<0xdd>(b[j], b[4 + j]);
                    c[8 + j] = _mm512_shuffle_f32x4::<0x88>(b[8 + j], b[12 + j]);
                    c[12 + j] = _mm512_shuffle_f32x4::<0xdd>(b[8 + j], b[12 + j]);
                }
                for j in 0..4 {
                    found[j] = _mm512_shuffle_f32x4::<0x88>(c[j], c[8 + j]);
                    found[8 + j] = _mm512_shuffle_f32x4::<0xdd>(c[j], c[8 + j]);
                    found[4 + j] = _mm512_shuffle_f32x4::<0x88>(c[4 + j], c[12 + j]);
                    found[12 + j] = _mm512_shuffle_f32x4::<0xdd>(c[4 + j], c[12 + j]);
                }
            }
            found
        }
    }

    impl Lanes for Avx2 {
        type Of = [__m256; 2];
        const BLOCK: [usize; 2] = [6, 1];

        #[inline(always)]
        fn splat(self, x: f32) -> [__m256; 2] {
            [unsafe { _mm256_set1_ps(x) }; 2]
        }

        #[inline(always)]
        fn load(self, x: &F32x16) -> [__m256; 2] {
            unsafe { [_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(x.as_ptr().add(8))] }
        }

        #[inline(always)]
        fn store(self, [low, high]: [__m256; 2], place: &mut F32x16) {
            unsafe {
                _mm256_storeu_ps(place.as_mut_ptr(), low);
                _mm256_storeu_ps(place.as_mut_ptr().add(8), high);
            }
        }

        #[inline(always)]
        fn add(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
        }

        #[inline(always)]
        fn subtract(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            unsafe { [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])] }
        }

        #[inline(always)]
        fn multiply(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
        }

        #[inline(always)]
        fn divide(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            unsafe { [_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])] }
        }

        #[inline(always)]
        fn fused(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
            unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
        }

        #[inline(always)]
        fn least(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            unsafe { [_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])] }
        }

        #[inline(always)]
        fn most(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            unsafe { [_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])] }
        }

        #[inline(always)]
        fn power_of_two(self, x: [__m256; 2]) -> [__m256; 2] {
            let mut found = x;
            for x in &mut found {
                *x = unsafe {
                    let whole = _mm256_add_epi32(_mm256_castps_si256(*x), _mm256_set1_epi32(127));
                    _mm256_castsi256_ps(_mm256_slli_epi32::<23>(whole))
                };
            }
            found
        }
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
    let mut found = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            found.push(Kind::Avx512);
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            found.push(Kind::Avx2);
        }
    }
    found.push(Kind::Plain);
    found
}

/// Does work with the widest instructions this processor has.
pub fn run<T: Task>(task: T) {
    #[cfg(test)]
    if let Some(kind) = tests::FORCED.get() {
        return run_as(kind, task);
    }
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

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// The instructions to take in this thread instead of the widest.
        pub static FORCED: Cell<Option<Kind>> = const { Cell::new(None) };
    }

    /// Does something with each of the instructions that there are.
    pub fn with_each(check: impl Fn(Kind)) {
        for kind in kinds() {
            FORCED.set(Some(kind));
            check(kind);
        }
        FORCED.set(None);
    }

    /// So many numbers between -1 and 1 that look random.
    pub fn noise(seed: u64, count: usize) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    /// The largest error, for the root mean square of what is expected.
    pub fn error(found: &[f32], expected: &[f64]) -> f64 {
        assert_eq!(found.len(), expected.len());
        let scale = (expected.iter().map(|v| v * v).sum::<f64>() / expected.len() as f64).sqrt();
        found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max) / scale.max(1e-30)
    }

    struct Turn([F32x16; LANES], Vec<Line>);

    impl Task for &mut Turn {
        #[inline(always)]
        fn run<L: Lanes>(self, l: L) {
            let mut rows = [l.splat(0.0); LANES];
            rows.iter_mut().zip(&self.0).for_each(|(row, numbers)| *row = l.load(numbers));
            self.1.push(l.pairs(rows[3], rows[9]));
            let columns = l.transposed(rows);
            self.0.iter_mut().zip(columns).for_each(|(numbers, column)| l.store(column, numbers));
        }
    }

    #[test]
    fn numbers_are_turned_and_rounded_to_the_nearest() {
        let mut numbers = [[0.0; LANES]; LANES];
        numbers.as_flattened_mut().iter_mut().zip(noise(1, 256)).for_each(|(place, x)| *place = x);
        // In the middle of two, of which the even one is below and above; just beside it; the largest; no numbers.
        let special = [0x3f80_8000, 0x3f81_8000, 0x3f80_8001, 0x3f80_7fff, 0x7f7f_ffff, 0x7f80_0000, 0xffc0_0000];
        numbers[3].iter_mut().zip(special).for_each(|(place, bits)| *place = f32::from_bits(bits));
        let rounded = [0x3f80, 0x3f82, 0x3f81, 0x3f80, 0x7f80, 0x7f80, 0xffc0];
        with_each(|kind| {
            let mut turn = Turn(numbers, Vec::new());
            run(&mut turn);
            for (row, column) in (0..LANES).flat_map(|row| (0..LANES).map(move |column| (row, column))) {
                assert_eq!(turn.0[row][column].to_bits(), numbers[column][row].to_bits(), "{kind:?} {row} {column}");
            }
            let found = turn.1[0].0;
            assert!(found.iter().zip(rounded).all(|(word, wanted)| word & 0xffff == wanted), "{kind:?}: {found:x?}");
            for (word, x) in found.iter().zip(numbers[9]) {
                let error = (f32::from_bits(word & 0xffff_0000) - x).abs();
                assert!(error <= x.abs() / 256.0, "{kind:?}: {x} is off by {error}");
            }
        });
    }

    struct Exponentials<'a>(&'a [f32], &'a mut [f32]);

    impl Task for Exponentials<'_> {
        #[inline(always)]
        fn run<L: Lanes>(self, l: L) {
            for (x, found) in self.0.chunks(LANES).zip(self.1.chunks_mut(LANES)) {
                l.write(l.exp(l.read(x)), found);
            }
        }
    }

    #[test]
    fn exponentials_of_all_instructions_are_accurate_to_a_few_units_in_the_last_place() {
        let x: Vec<f32> = (-4000..=4003).map(|i| i as f32 * 0.01).collect();
        with_each(|kind| {
            let mut found = vec![0.0; x.len()];
            run(Exponentials(&x, &mut found));
            for (x, found) in x.iter().zip(&found) {
                let exact = f64::from(*x).exp();
                let error = (f64::from(*found) - exact).abs() / exact;
                assert!(error < 4.0 * f64::from(f32::EPSILON), "{kind:?} {x}: {error}");
            }
            let mut ends = [0.0; 3];
            run(Exponentials(&[f32::INFINITY, f32::NEG_INFINITY, f32::NAN], &mut ends));
            assert!(ends[0].is_finite() && ends[1] >= 0.0 && ends[2].is_nan(), "{kind:?}: {ends:?}");
        });
    }
}
