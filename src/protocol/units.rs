//! What messages are made of: names of runs, bytes, and numbers.

use serde::{Deserialize, Serialize};

/// Names a run. The page counts up; the worker repeats it in every event of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId(pub u32);

/// Bytes that cross as one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(#[serde(with = "serde_bytes")] pub Vec<u8>);

/// `f32` numbers that cross as one buffer, little-endian.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Floats(pub Vec<f32>);

impl Serialize for Floats {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|v| v.to_le_bytes()).collect();
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Floats {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?;
        let floats = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        Ok(Self(floats))
    }
}

impl Floats {
    /// Points in the plane as `x, y, x, y, …`.
    #[must_use]
    pub fn from_points(points: &[[f64; 2]]) -> Self {
        Self(points.iter().flat_map(|p| [p[0] as f32, p[1] as f32]).collect())
    }

    /// The points, if these are points.
    pub fn points(&self) -> impl ExactSizeIterator<Item = [f32; 2]> + '_ {
        self.0.chunks_exact(2).map(|p| [p[0], p[1]])
    }
}
