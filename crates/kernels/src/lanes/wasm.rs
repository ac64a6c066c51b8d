//! WebAssembly's vectors of four numbers.

use core::arch::wasm32::{
    f32x4_add, f32x4_div, f32x4_mul, f32x4_pmax, f32x4_pmin, f32x4_splat, f32x4_sub, i32x4_add, i32x4_shl, i32x4_splat,
    v128, v128_load, v128_store,
};

use super::{F32x16, Lanes, Task};
use crate::four;

/// Four vectors for sixteen numbers. Products are fused with sums in the program that is built for browsers with relaxed
/// vector instructions, and rounded twice in the other.
#[derive(Clone, Copy, Debug)]
struct Simd128;

/// Does work with these instructions. A function of its own, for they are compiled only where they are asked for.
#[cfg_attr(feature = "relaxed", target_feature(enable = "relaxed-simd"))]
pub fn run<T: Task>(task: T) {
    task.run(Simd128);
}

/// `f` of each of the four, written out: closures are not compiled for the instructions of whom they are called by.
macro_rules! each {
    ($($f:ident)::+ $(, $x:expr)+) => {
        [
            $($f)::+($($x[0]),+),
            $($f)::+($($x[1]),+),
            $($f)::+($($x[2]),+),
            $($f)::+($($x[3]),+),
        ]
    };
}

impl Lanes for Simd128 {
    type Of = [v128; 4];
    /// Eight sums, four factors and the one they are multiplied with: as many registers as there are.
    const BLOCK: [usize; 2] = [2, 1];

    #[inline(always)]
    fn splat(self, x: f32) -> [v128; 4] {
        [f32x4_splat(x); 4]
    }

    #[inline(always)]
    fn load(self, x: &F32x16) -> [v128; 4] {
        let place = x.as_ptr().cast::<v128>();
        // SAFETY: the reference is to 64 readable bytes, and the instruction asks for no alignment.
        #[allow(unsafe_code)]
        unsafe {
            [v128_load(place), v128_load(place.add(1)), v128_load(place.add(2)), v128_load(place.add(3))]
        }
    }

    #[inline(always)]
    fn store(self, x: [v128; 4], place: &mut F32x16) {
        let place = place.as_mut_ptr().cast::<v128>();
        // SAFETY: the reference is to 64 writable bytes, and the instruction asks for no alignment.
        #[allow(unsafe_code)]
        unsafe {
            v128_store(place, x[0]);
            v128_store(place.add(1), x[1]);
            v128_store(place.add(2), x[2]);
            v128_store(place.add(3), x[3]);
        }
    }

    #[inline(always)]
    fn add(self, a: [v128; 4], b: [v128; 4]) -> [v128; 4] {
        each!(f32x4_add, a, b)
    }

    #[inline(always)]
    fn subtract(self, a: [v128; 4], b: [v128; 4]) -> [v128; 4] {
        each!(f32x4_sub, a, b)
    }

    #[inline(always)]
    fn multiply(self, a: [v128; 4], b: [v128; 4]) -> [v128; 4] {
        each!(f32x4_mul, a, b)
    }

    #[inline(always)]
    fn divide(self, a: [v128; 4], b: [v128; 4]) -> [v128; 4] {
        each!(f32x4_div, a, b)
    }

    #[inline(always)]
    fn fused(self, a: [v128; 4], b: [v128; 4], c: [v128; 4]) -> [v128; 4] {
        each!(four::multiply_add, a, b, c)
    }

    // The instructions answer their first operand unless the second is smaller: the second one's not being a number does
    // not make it so.
    #[inline(always)]
    fn least(self, a: [v128; 4], b: [v128; 4]) -> [v128; 4] {
        each!(f32x4_pmin, b, a)
    }

    #[inline(always)]
    fn most(self, a: [v128; 4], b: [v128; 4]) -> [v128; 4] {
        each!(f32x4_pmax, b, a)
    }

    #[inline(always)]
    fn power_of_two(self, x: [v128; 4]) -> [v128; 4] {
        let whole = each!(i32x4_add, x, [i32x4_splat(127); 4]);
        [i32x4_shl(whole[0], 23), i32x4_shl(whole[1], 23), i32x4_shl(whole[2], 23), i32x4_shl(whole[3], 23)]
    }
}
