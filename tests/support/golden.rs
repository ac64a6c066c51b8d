//! Files of golden numbers: safetensors that the scripts in `tests/golden` write, with JSON among their metadata.

#![allow(dead_code)]

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use scorefield::engine::images::self_test::parameter;

/// Shapes by names of tensors.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// The bytes of such a file.
pub struct Golden(pub &'static [u8]);

impl Golden {
    /// A tensor's numbers.
    pub fn numbers(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(self.0).unwrap();
        let view = file.tensor(name).unwrap();
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    /// An entry of the metadata.
    pub fn metadata(&self, key: &str) -> String {
        let (_, metadata) = SafeTensors::read_metadata(self.0).unwrap();
        metadata.metadata().as_ref().unwrap()[key].clone()
    }

    /// The shapes of a network's parameters, which the script wrote beside its output.
    pub fn shapes(&self, case: &str) -> Shapes {
        serde_json::from_str::<BTreeMap<String, Shapes>>(&self.metadata("shapes")).unwrap()[case].clone()
    }

    /// Those parameters, which both compute from their names alone, under names that begin with this.
    pub fn tensors(&self, case: &str, prefix: &str) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        self.shapes(case).into_iter().map(|(n, s)| (format!("{prefix}{n}"), s.clone(), parameter(&n, &s))).collect()
    }
}
