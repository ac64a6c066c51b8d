//! The matrix units of Intel's processors, AMX-BF16: eight registers of sixteen lines each, and an instruction that adds
//! the product of two to a third. Rust's intrinsics for them are unstable, hence the assembler.
//!
//! The registers hold another state of a process, which Linux gives to those who ask: `arch_prctl(2)`.

#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::OnceLock;

use super::Line;
use super::block::{Block, Results};

/// `arch_prctl`'s number, its request for a part of the processor's state, and which part: the tiles' data.
const ARCH_PRCTL: isize = 158;
const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
const XTILEDATA: usize = 18;

/// Whether the processor has the units and the system lets this program use them.
pub fn is_permitted() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| is_there() && ask())
}

fn is_there() -> bool {
    // AMX-BF16 and AMX-TILE.
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & (1 << 22 | 1 << 24) == (1 << 22 | 1 << 24)
}

fn ask() -> bool {
    let answer: isize;
    // SAFETY: a system call that reads and writes no memory of ours; the registers it overwrites are named.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

/// How the registers are divided.
#[repr(C, align(64))]
struct Shape {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    /// Bytes of a row of each.
    bytes: [u16; 16],
    /// Rows of each.
    rows: [u8; 16],
}

/// The units, made ready for this thread: the registers are each thread's own.
#[derive(Clone, Copy, Debug)]
pub struct Amx(PhantomData<*const ()>);

impl Amx {
    /// Makes them ready, if there are any.
    pub fn here() -> Option<Self> {
        thread_local! {
            static READY: Cell<bool> = const { Cell::new(false) };
        }
        if !is_permitted() {
            return None;
        }
        if !READY.replace(true) {
            let mut shape = Shape { palette: 1, start: 0, reserved: [0; 14], bytes: [0; 16], rows: [0; 16] };
            shape.bytes[..8].fill(64);
            shape.rows[..8].fill(16);
            // SAFETY: the processor has the instruction and the system allows it; it reads the 64 bytes of the structure.
            unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const shape, options(nostack, readonly)) };
        }
        Some(Self(PhantomData))
    }

    /// The products of a block, added to `c` if `add`.
    #[inline(never)]
    pub fn multiply(self, block: &Block<'_>, c: &mut Results, add: bool) {
        let Some(count) = block.checked() else { return block.none(c, add) };
        let [a_tile, b_tile] = block.tiles.map(|lines| lines * size_of::<Line>());
        // SAFETY: `Amx` exists only in threads whose registers are eight tiles of sixteen rows of 64 bytes. The loops run
        // over `count` steps, of which there are as many, and read sixteen lines from each of their places, and from those
        // one tile further: `checked` asserts that they are within the factors. Results are four tiles of 1024 bytes.
        unsafe {
            if block.wide {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "test {add}, {add}",
                    "jz 2f",
                    "tileloadd tmm0, [{c} + {line}]",
                    "tileloadd tmm1, [{c} + {line} + 1024]",
                    "tileloadd tmm2, [{c} + {line} + 2048]",
                    "tileloadd tmm3, [{c} + {line} + 3072]",
                    "2:",
                    "mov {p}, [{steps}]",
                    "mov {q}, [{steps} + 8]",
                    "add {p}, {a}",
                    "add {q}, {b}",
                    "add {steps}, 16",
                    "tileloadd tmm4, [{p} + {line}]",
                    "tileloadd tmm6, [{q} + {line}]",
                    "add {p}, {a_tile}",
                    "add {q}, {b_tile}",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm7, [{q} + {line}]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tileloadd tmm5, [{p} + {line}]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "dec {count}",
                    "jnz 2b",
                    "tilestored [{c} + {line}], tmm0",
                    "tilestored [{c} + {line} + 1024], tmm1",
                    "tilestored [{c} + {line} + 2048], tmm2",
                    "tilestored [{c} + {line} + 3072], tmm3",
                    c = in(reg) c,
                    add = in(reg) usize::from(add),
                    line = in(reg) size_of::<Line>(),
                    steps = inout(reg) block.steps.offsets.as_ptr() => _,
                    count = inout(reg) count => _,
                    a = in(reg) block.a.as_ptr(),
                    b = in(reg) block.b.as_ptr(),
                    a_tile = in(reg) a_tile,
                    b_tile = in(reg) b_tile,
                    p = out(reg) _,
                    q = out(reg) _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            } else {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm2",
                    "test {add}, {add}",
                    "jz 2f",
                    "tileloadd tmm0, [{c} + {line}]",
                    "tileloadd tmm2, [{c} + {line} + 2048]",
                    "2:",
                    "mov {p}, [{steps}]",
                    "mov {q}, [{steps} + 8]",
                    "add {p}, {a}",
                    "add {q}, {b}",
                    "add {steps}, 16",
                    "tileloadd tmm4, [{p} + {line}]",
                    "tileloadd tmm6, [{q} + {line}]",
                    "add {p}, {a_tile}",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{p} + {line}]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "dec {count}",
                    "jnz 2b",
                    "tilestored [{c} + {line}], tmm0",
                    "tilestored [{c} + {line} + 2048], tmm2",
                    c = in(reg) c,
                    add = in(reg) usize::from(add),
                    line = in(reg) size_of::<Line>(),
                    steps = inout(reg) block.steps.offsets.as_ptr() => _,
                    count = inout(reg) count => _,
                    a = in(reg) block.a.as_ptr(),
                    b = in(reg) block.b.as_ptr(),
                    a_tile = in(reg) a_tile,
                    p = out(reg) _,
                    q = out(reg) _,
                    out("tmm0") _, out("tmm2") _, out("tmm4") _, out("tmm5") _, out("tmm6") _,
                    options(nostack),
                );
            }
        }
    }
}
