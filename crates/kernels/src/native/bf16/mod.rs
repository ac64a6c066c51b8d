//! Convolutions and products in bfloat16: factors rounded to 8 bits, sums in single precision, as the matrix units of
//! processors compute them (AMX-BF16), their vector units (AVX512-BF16), or plain arithmetic.
//!
//! Whatever is multiplied lies in [`Line`]s of sixteen pairs. Of one factor a line is a row of a tile: sixteen pairs of
//! terms of one sum. Of the other it is two rows of a matrix, side by side: a pair of terms of each of sixteen sums.
//! Sixteen lines are a tile, and a block of results is thirty-two rows of thirty-two.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
mod block;
pub mod convolution;
mod layout;
pub mod places;
#[cfg(test)]
mod tests;

pub use crate::lanes::Line;

/// The instructions that products are computed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Matrix units: AMX-BF16.
    Amx,
    /// Vector units: AVX512-BF16.
    Avx512,
    /// The same in single precision, of factors that are rounded as there.
    Plain,
}

impl Kind {
    /// Its name.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Amx => "AMX-BF16",
            Self::Avx512 => "AVX512-BF16",
            Self::Plain => "plain arithmetic",
        }
    }
}

/// The instructions of this processor, the fastest first; those that need it are had of the system. The last is
/// [`Kind::Plain`], by which bfloat16 is no gain.
#[must_use]
pub fn kinds() -> Vec<Kind> {
    let mut found = Vec::new();
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if amx::is_permitted() {
        found.push(Kind::Amx);
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512bf16") && std::arch::is_x86_feature_detected!("avx512f") {
        found.push(Kind::Avx512);
    }
    found.push(Kind::Plain);
    found
}
