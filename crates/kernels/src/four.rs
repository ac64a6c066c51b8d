//! Four numbers in a vector register. The compiler finds vector instructions for simple loops by itself, but not for as
//! many sums at once as convolutions have. Products are fused with sums in the program for browsers with relaxed vector
//! instructions alone; in all others results are the same everywhere.

#[cfg(target_arch = "wasm32")]
mod kind {
    pub use core::arch::wasm32::{
        f32x4_add as add, f32x4_mul as multiply, f32x4_splat as splat, f32x4_sub as subtract, v128 as Four,
    };
    use core::arch::wasm32::{f32x4_extract_lane, i32x4_shuffle, v128, v128_load};

    #[allow(unsafe_code)]
    #[inline(always)]
    pub fn load(x: &[f32; 4]) -> v128 {
        // SAFETY: the reference is to 16 readable bytes, and the instruction asks for no alignment.
        unsafe { v128_load(x.as_ptr().cast()) }
    }

    /// `a b + c`, rounded once. Compiled where the function it is called by asks for these instructions.
    #[cfg(feature = "relaxed")]
    #[inline]
    #[target_feature(enable = "relaxed-simd")]
    pub fn multiply_add(a: v128, b: v128, c: v128) -> v128 {
        core::arch::wasm32::f32x4_relaxed_madd(a, b, c)
    }

    /// `a b + c`
    #[cfg(not(feature = "relaxed"))]
    #[inline(always)]
    pub fn multiply_add(a: v128, b: v128, c: v128) -> v128 {
        add(multiply(a, b), c)
    }

    #[inline(always)]
    pub fn numbers(x: v128) -> [f32; 4] {
        [f32x4_extract_lane::<0>(x), f32x4_extract_lane::<1>(x), f32x4_extract_lane::<2>(x), f32x4_extract_lane::<3>(x)]
    }

    #[inline(always)]
    pub fn transpose([a, b, c, d]: [v128; 4]) -> [v128; 4] {
        let (low, high) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b));
        let (low_next, high_next) = (i32x4_shuffle::<0, 4, 1, 5>(c, d), i32x4_shuffle::<2, 6, 3, 7>(c, d));
        [
            i32x4_shuffle::<0, 1, 4, 5>(low, low_next),
            i32x4_shuffle::<2, 3, 6, 7>(low, low_next),
            i32x4_shuffle::<0, 1, 4, 5>(high, high_next),
            i32x4_shuffle::<2, 3, 6, 7>(high, high_next),
        ]
    }
}

/// The same elsewhere.
#[cfg(not(target_arch = "wasm32"))]
mod kind {
    pub type Four = [f32; 4];

    #[inline(always)]
    pub fn load(x: &[f32; 4]) -> Four {
        *x
    }

    #[inline(always)]
    pub fn splat(x: f32) -> Four {
        [x; 4]
    }

    #[inline(always)]
    pub fn add(a: Four, b: Four) -> Four {
        [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]]
    }

    #[inline(always)]
    pub fn subtract(a: Four, b: Four) -> Four {
        [a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]]
    }

    #[inline(always)]
    pub fn multiply(a: Four, b: Four) -> Four {
        [a[0] * b[0], a[1] * b[1], a[2] * b[2], a[3] * b[3]]
    }

    #[inline(always)]
    pub fn multiply_add(a: Four, b: Four, c: Four) -> Four {
        add(multiply(a, b), c)
    }

    #[inline(always)]
    pub fn numbers(x: Four) -> [f32; 4] {
        x
    }

    #[inline(always)]
    pub fn transpose([a, b, c, d]: [Four; 4]) -> [Four; 4] {
        [[a[0], b[0], c[0], d[0]], [a[1], b[1], c[1], d[1]], [a[2], b[2], c[2], d[2]], [a[3], b[3], c[3], d[3]]]
    }
}

pub use kind::{Four, add, load, multiply, multiply_add, numbers, splat, subtract, transpose};

/// `k x`
#[inline(always)]
pub fn scale(x: Four, k: f32) -> Four {
    multiply(x, splat(k))
}

/// Four neighbours in a line, zeros where it ends.
#[inline(always)]
pub fn load_from(line: &[f32], start: usize) -> Four {
    if let Some(found) = line.get(start..start + 4).and_then(<[f32]>::first_chunk) {
        return load(found);
    }
    let mut found = [0.0; 4];
    for (place, value) in found.iter_mut().zip(line.iter().skip(start)) {
        *place = *value;
    }
    load(&found)
}

/// Into up to four places.
#[inline(always)]
pub fn store_into(places: &mut [f32], x: Four) {
    let x = numbers(x);
    match places.first_chunk_mut() {
        Some(places) => *places = x,
        None => places.copy_from_slice(&x[..places.len()]),
    }
}
