//! A small allocator for components, and what a panic does.
//!
//! Blocks have a power of two as their size; a freed block goes to the list of
//! its size and is taken from there again. Memory is never given back and blocks
//! are never split or joined, so a policy that does the same again needs no more
//! memory than before, and allocating takes the same short time always.

#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use core::{
    alloc::{GlobalAlloc, Layout},
    arch::wasm32,
    cell::UnsafeCell,
    ptr,
};

const WASM_PAGE_BYTES: usize = 64 * 1024;
/// Large enough to hold the link of a free list, and what most values need.
const SMALLEST_BLOCK_BYTES: usize = 16;
/// Blocks are aligned to their size up to this; more is never asked for.
const LARGEST_ALIGN_BYTES: usize = 4096;
/// One list for each power of two of a 32-bit address space.
const SIZES: usize = usize::BITS as usize;

/// The first word of a free block points to the next one.
struct FreeBlock {
    next: *mut FreeBlock,
}

struct State {
    free: [*mut FreeBlock; SIZES],
    /// The memory that no block was cut from yet. Both 0 before the first use.
    fresh: usize,
    end: usize,
}

struct Heap(UnsafeCell<State>);

// SAFETY: a component has one thread and the contract no re-entrance: no call
// of the allocator begins while another one runs.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap =
    Heap(UnsafeCell::new(State { free: [ptr::null_mut(); SIZES], fresh: 0, end: 0 }));

unsafe extern "C" {
    /// Placed by the linker where static data and the stack end.
    static __heap_base: u8;
}

// SAFETY: a block is handed out from `fresh`, which only grows, or from a free
// list, which it entered when its owner gave it up; so no two owners share one.
// Blocks of one list have the same size and are aligned to it (up to
// `LARGEST_ALIGN_BYTES`), so they fit every layout that maps to that list.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: see `Sync`: this is the only reference.
        let state = unsafe { &mut *self.0.get() };
        let Some(block_bytes) = block_bytes(layout) else {
            return ptr::null_mut();
        };
        let list = &mut state.free[block_bytes.trailing_zeros() as usize];
        if list.is_null() {
            return state.cut(block_bytes);
        }
        let block = *list;
        // SAFETY: what is in a free list was written by `dealloc` and is not
        // touched by anyone else.
        *list = unsafe { (*block).next };
        block.cast()
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: see `Sync`: this is the only reference.
        let state = unsafe { &mut *self.0.get() };
        let Some(block_bytes) = block_bytes(layout) else {
            return;
        };
        let list = &mut state.free[block_bytes.trailing_zeros() as usize];
        let block = start.cast::<FreeBlock>();
        // SAFETY: the block is at least `SMALLEST_BLOCK_BYTES` long, aligned to
        // its size, and its owner has just given it up.
        unsafe { block.write(FreeBlock { next: *list }) };
        *list = block;
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, new_bytes: usize) -> *mut u8 {
        let Ok(new_layout) = Layout::from_size_align(new_bytes, layout.align()) else {
            return ptr::null_mut();
        };
        if block_bytes(new_layout) == block_bytes(layout) {
            return start;
        }
        // SAFETY: the caller holds `start` with this layout, as `GlobalAlloc`
        // demands; the new block overlaps no block in use.
        unsafe {
            let moved = self.alloc(new_layout);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(start, moved, layout.size().min(new_bytes));
                self.dealloc(start, layout);
            }
            moved
        }
    }
}

impl State {
    /// Cuts a block off the fresh memory; null if the host grants no more.
    fn cut(&mut self, block_bytes: usize) -> *mut u8 {
        if self.end == 0 {
            self.fresh = (&raw const __heap_base).addr();
            self.end = wasm32::memory_size(0) * WASM_PAGE_BYTES;
        }
        let align = block_bytes.min(LARGEST_ALIGN_BYTES);
        let start = self.fresh.next_multiple_of(align);
        let Some(block_end) = start.checked_add(block_bytes) else {
            return ptr::null_mut();
        };
        if block_end > self.end {
            let pages = (block_end - self.end).div_ceil(WASM_PAGE_BYTES);
            if wasm32::memory_grow(0, pages) == usize::MAX {
                return ptr::null_mut();
            }
            self.end += pages * WASM_PAGE_BYTES;
        }
        self.fresh = block_end;
        ptr::with_exposed_provenance_mut(start)
    }
}

/// The size of the block for a layout; None if there can be none.
fn block_bytes(layout: Layout) -> Option<usize> {
    if layout.align() > LARGEST_ALIGN_BYTES {
        return None;
    }
    layout.size().max(layout.align()).max(SMALLEST_BLOCK_BYTES).checked_next_power_of_two()
}

/// The host counts the trap as a failure of the policy: BUSY, never a death. A
/// message would have nowhere to go.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    wasm32::unreachable()
}
