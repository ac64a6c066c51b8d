//! The instructions of x86 processors.
//!
//! SAFETY of every block here: the types are made by [`super::run`] and [`super::kinds`] alone, after they asked the
//! processor, and references to sixteen numbers are to as many readable or writable ones, which the instructions
//! want no alignment of.

use std::arch::x86_64::{
    __m256, __m512, __m512i, _mm256_add_epi32, _mm256_add_ps, _mm256_castps_si256, _mm256_castsi256_ps, _mm256_div_ps,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_slli_epi32, _mm256_storeu_ps, _mm256_sub_ps, _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512,
    _mm512_castpd_ps, _mm512_castps_pd, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_div_ps, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_or_si512, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_shuffle_f32x4, _mm512_slli_epi32, _mm512_srli_epi32, _mm512_store_si512, _mm512_storeu_ps, _mm512_sub_ps,
    _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
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
