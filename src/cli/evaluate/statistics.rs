//! What is known of the features of a set of images, computed once and kept.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::cli::failure::{Failure, Outcome};
use crate::cli::files;
use crate::data::metrics::gaussian::{GaussianFit, Moments};

const COUNT: &str = "scorefield.count";
const OF: &str = "scorefield.of";

/// The fit to the features of a set, and some of the features.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// What they are of: digests of network and images.
    pub of: String,
    /// The fit.
    pub fit: GaussianFit,
    /// The features of the first images.
    pub rows: Vec<f32>,
}

impl Statistics {
    /// Of rows of features, the first `kept` of which stay.
    ///
    /// # Errors
    /// When there are fewer than two.
    pub fn new(of: String, features: &[f32], dimension: usize, kept: usize) -> Outcome<Self> {
        let mut moments = Moments::new(dimension);
        moments.add(features);
        let fit = moments.fit().ok_or_else(|| Failure::usage("statistics need at least two images"))?;
        Ok(Self { of, fit, rows: features[..features.len().min(kept * dimension)].to_vec() })
    }

    /// The file.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn to_bytes(&self) -> Outcome<Vec<u8>> {
        let dimension = self.fit.mean.len();
        let wide = |values: &[f64]| -> Vec<u8> { values.iter().flat_map(|value| value.to_le_bytes()).collect() };
        let (mean, covariance) = (wide(&self.fit.mean), wide(&self.fit.covariance));
        let rows: Vec<u8> = self.rows.iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = |kind, shape: Vec<usize>, bytes| TensorView::new(kind, shape, bytes).map_err(Failure::other);
        let tensors = [
            ("mean", view(Dtype::F64, vec![dimension], &mean)?),
            ("covariance", view(Dtype::F64, vec![dimension, dimension], &covariance)?),
            ("rows", view(Dtype::F32, vec![self.rows.len() / dimension.max(1), dimension], &rows)?),
        ];
        let facts = [(COUNT, self.fit.count.to_string()), (OF, self.of.clone())];
        let facts: HashMap<String, String> = facts.map(|(key, value)| (key.to_owned(), value)).into();
        safetensors::tensor::serialize(tensors, Some(facts)).map_err(Failure::other)
    }

    /// Reads a file; `None` when there is none, or it is of something else.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn load(path: &Path, of: &str) -> Outcome<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let bytes = files::read(path)?;
        let bad = |error: &dyn std::fmt::Display| Failure::input(path.display(), error);
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| bad(&error))?;
        let facts = header.metadata().clone().unwrap_or_default();
        if facts.get(OF).is_none_or(|known| known != of) {
            return Ok(None);
        }
        let count = facts.get(COUNT).and_then(|count| count.parse().ok());
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| bad(&error))?;
        let get = |name: &str| tensors.tensor(name).map_err(|error| bad(&error));
        let wide = |name: &str| -> Outcome<Vec<f64>> {
            let numbers = get(name)?.data().as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
            Ok(numbers)
        };
        let (mean, covariance) = (wide("mean")?, wide("covariance")?);
        let rows: Vec<f32> = get("rows")?.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        match count {
            Some(count) if covariance.len() == mean.len() * mean.len() && !mean.is_empty() => {
                Ok(Some(Self { of: of.to_owned(), fit: GaussianFit { count, mean, covariance }, rows }))
            }
            _ => Err(bad(&"these are not statistics of features")),
        }
    }
}
