//! Memory that is used again: a step of training needs the same numbers of numbers as the one before, and instead of
//! asking the system for hundreds of megabytes, which it fills with zeros page by page, takes what that one left.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernels::native::bf16::Line;

/// What lies ready, by how many there are.
#[derive(Debug)]
struct Shelf<T>(Arc<Mutex<HashMap<usize, Vec<Vec<T>>>>>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Shelf<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Shelf<T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Vec<Vec<T>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, count: usize) -> Option<Vec<T>> {
        self.lock().get_mut(&count).and_then(Vec::pop)
    }
}

/// Numbers that lie ready, and lines of bfloat16. Clones share them, in all threads.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    numbers: Shelf<f32>,
    lines: Shelf<Line>,
}

impl Pool {
    /// So many lines, whatever is in them.
    #[must_use]
    pub fn lines(&self, count: usize) -> Buffer<Line> {
        let found = self.lines.take(count);
        Buffer { items: found.unwrap_or_else(|| vec![Line::default(); count]), shelf: Some(self.lines.clone()) }
    }

    /// So many numbers, whatever they are: for who overwrites them all.
    #[must_use]
    pub fn any(&self, count: usize) -> Buffer {
        let found = self.numbers.take(count);
        Buffer { items: found.unwrap_or_else(|| vec![0.0; count]), shelf: Some(self.numbers.clone()) }
    }

    /// So many zeros.
    #[must_use]
    pub fn zeros(&self, count: usize) -> Buffer {
        let found = self.numbers.take(count);
        let numbers = match found {
            Some(mut numbers) => {
                numbers.fill(0.0);
                numbers
            }
            None => vec![0.0; count],
        };
        Buffer { items: numbers, shelf: Some(self.numbers.clone()) }
    }

    /// The same numbers again.
    #[must_use]
    pub fn copy(&self, numbers: &[f32]) -> Buffer {
        let mut found = self.any(numbers.len());
        found.copy_from_slice(numbers);
        found
    }
}

/// Numbers, or lines, that go back to where they came from.
#[derive(Debug)]
pub struct Buffer<T = f32> {
    items: Vec<T>,
    shelf: Option<Shelf<T>>,
}

impl From<Vec<f32>> for Buffer {
    /// Numbers that came from elsewhere, and go nowhere: a pool would grow with every step.
    fn from(numbers: Vec<f32>) -> Self {
        Self { items: numbers, shelf: None }
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Some(shelf) = &self.shelf {
            let items = std::mem::take(&mut self.items);
            shelf.lock().entry(items.len()).or_default().push(items);
        }
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items
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
        assert!(!pool.numbers.lock().contains_key(&5));
    }
}
