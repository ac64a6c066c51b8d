//! A tensor that lies in a file.

use super::error::CheckpointError;
use super::number::Number;

/// Where the numbers of a tensor are: `storage[offset + sum(index * stride)]`.
#[derive(Clone, Debug)]
pub struct Stored<'a> {
    /// Their kind.
    pub number: Number,
    /// Lengths of the dimensions.
    pub shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
    storage: &'a [u8],
}

impl<'a> Stored<'a> {
    /// Numbers without gaps, last dimension first. The reader of the container has compared shape and length.
    pub fn dense(number: Number, shape: Vec<usize>, storage: &'a [u8]) -> Self {
        let strides = dense_strides(&shape);
        Self { number, shape, strides, offset: 0, storage }
    }

    /// A view of a storage that other tensors may share.
    ///
    /// # Errors
    /// [`CheckpointError::Extent`] when the view reaches beyond the storage, or has more numbers than it: views that
    /// repeat numbers are not weights, and could ask for any amount of memory.
    pub fn view(
        name: &str,
        number: Number,
        shape: Vec<usize>,
        strides: Vec<usize>,
        offset: usize,
        storage: &'a [u8],
    ) -> Result<Self, CheckpointError> {
        let has = storage.len() / number.bytes();
        let extent = |needs| CheckpointError::Extent { tensor: name.to_owned(), needs, has };
        let count = shape.iter().try_fold(1_usize, |product, &length| product.checked_mul(length));
        let count = count.ok_or_else(|| extent(usize::MAX))?;
        let last = shape
            .iter()
            .zip(&strides)
            .try_fold(offset, |sum, (&length, &stride)| sum.checked_add(length.saturating_sub(1).checked_mul(stride)?));
        let needs = last.and_then(|last| last.checked_add(1)).unwrap_or(usize::MAX);
        if shape.len() != strides.len() || count > has || (count > 0 && needs > has) {
            return Err(extent(needs.max(count)));
        }
        Ok(Self { number, shape, strides, offset, storage })
    }

    /// The numbers, last dimension first. Memory is asked for once, as much as they need.
    ///
    /// # Errors
    /// [`CheckpointError::Extent`] when not all are there.
    pub fn decode(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        let (size, count) = (self.number.bytes(), self.shape.iter().product::<usize>());
        let mut values = Vec::with_capacity(count.min(self.storage.len() / size));
        if self.strides == dense_strides(&self.shape) {
            let start = self.offset.saturating_mul(size);
            let numbers = self.storage.get(start..).unwrap_or_default().chunks_exact(size).take(count);
            values.extend(numbers.map(|bytes| self.number.read(bytes)));
        } else {
            let mut index = vec![0; self.shape.len()];
            while values.len() < count {
                let at: usize = index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum();
                let Some(bytes) = self.storage.get((self.offset + at) * size..) else { break };
                values.push(self.number.read(bytes));
                for (i, &length) in index.iter_mut().zip(&self.shape).rev() {
                    *i += 1;
                    if *i < length {
                        break;
                    }
                    *i = 0;
                }
            }
        }
        if values.len() == count {
            Ok(values)
        } else {
            Err(CheckpointError::Extent { tensor: name.to_owned(), needs: count, has: values.len() })
        }
    }
}

fn dense_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for d in (1..shape.len()).rev() {
        strides[d - 1] = strides[d].saturating_mul(shape[d]);
    }
    strides
}
