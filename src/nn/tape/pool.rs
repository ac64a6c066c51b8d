//! Memory that is used again: a step of training needs the same numbers of numbers as the one before, and instead of
//! asking the system for hundreds of megabytes, which it fills with zeros page by page, takes what that one left.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Numbers that lie ready, by how many there are. Clones share them, in all threads.
#[derive(Clone, Debug, Default)]
pub struct Pool(Arc<Mutex<HashMap<usize, Vec<Vec<f32>>>>>);

impl Pool {
    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Vec<Vec<f32>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many numbers, whatever they are: for who overwrites them all.
    #[must_use]
    pub fn any(&self, count: usize) -> Buffer {
        let found = self.lock().get_mut(&count).and_then(Vec::pop);
        Buffer { numbers: found.unwrap_or_else(|| vec![0.0; count]), pool: Some(self.clone()) }
    }

    /// So many zeros.
    #[must_use]
    pub fn zeros(&self, count: usize) -> Buffer {
        let found = self.lock().get_mut(&count).and_then(Vec::pop);
        let numbers = match found {
            Some(mut numbers) => {
                numbers.fill(0.0);
                numbers
            }
            None => vec![0.0; count],
        };
        Buffer { numbers, pool: Some(self.clone()) }
    }

    /// The same numbers again.
    #[must_use]
    pub fn copy(&self, numbers: &[f32]) -> Buffer {
        let mut found = self.any(numbers.len());
        found.copy_from_slice(numbers);
        found
    }
}

/// Numbers that go back to where they came from.
#[derive(Debug)]
pub struct Buffer {
    numbers: Vec<f32>,
    pool: Option<Pool>,
}

impl From<Vec<f32>> for Buffer {
    /// Numbers that came from elsewhere, and go nowhere: a pool would grow with every step.
    fn from(numbers: Vec<f32>) -> Self {
        Self { numbers, pool: None }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            let numbers = std::mem::take(&mut self.numbers);
            pool.lock().entry(numbers.len()).or_default().push(numbers);
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.numbers
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_zeros_are_zeros() {
        let pool = Pool::default();
        let mut first = pool.any(3);
        first.copy_from_slice(&[1.0, 2.0, 3.0]);
        let place = first.as_ptr();
        drop(first);
        let again = pool.any(3);
        assert_eq!((again.as_ptr(), &*again), (place, [1.0, 2.0, 3.0].as_slice()));
        drop(again);
        assert_eq!((pool.any(2).len(), &*pool.zeros(3)), (2, [0.0; 3].as_slice()));
        assert_eq!(&*pool.copy(&[4.0, 5.0, 6.0]), [4.0, 5.0, 6.0].as_slice());
        drop(Buffer::from(vec![7.0; 5]));
        assert!(!pool.lock().contains_key(&5));
    }
}
