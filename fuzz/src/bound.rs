//! An allocator with a bound: a file that makes its reader take memory out of proportion is a fault like a panic.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that a reader may hold whatever its file: tables, messages and what libFuzzer itself keeps.
const FREE: usize = 64 << 20;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(usize::MAX);

struct Bounded;

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

// SAFETY: the system's allocator does the work; beside it numbers are counted, which allocates nothing.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if HELD.fetch_add(layout.size(), Ordering::Relaxed).saturating_add(layout.size()) > MOST.load(Ordering::Relaxed)
        {
            // libFuzzer keeps the file of a process that ends so.
            std::process::abort();
        }
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Reads within so many bytes of memory, beyond what is free.
pub fn within(most: usize, read: impl FnOnce()) {
    MOST.store(HELD.load(Ordering::Relaxed) + FREE + most, Ordering::Relaxed);
    read();
    MOST.store(usize::MAX, Ordering::Relaxed);
}
