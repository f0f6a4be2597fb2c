//! The microkernel for x86-64 with AMX, whose instructions multiply 16 rows of 64 bytes of activations by 16 columns
//! of as many bytes of weights: 64 integers or, with `BF16`, 32 numbers of 16 bits.
//!
//! Tiles are two-dimensional registers. Four of them accumulate, two rows of tiles by two panels:
//!
//! ```text
//!                 panel   panel
//!                 tmm6    tmm7     weights
//!      rows tmm4  tmm0    tmm1
//! next rows tmm5  tmm2    tmm3
//! ```
//!
//! The compiler knows no tiles in this version, hence the assembly. It does not use them either, so that their
//! contents last from one block of assembly to the next.

use std::arch::asm;
use std::arch::x86_64::{
    __cpuid, __cpuid_count, __m512, __m512i, _mm512_castsi512_ps, _mm512_loadu_si512,
};
use std::ops::Range;
use std::sync::OnceLock;

use super::gemm::{COLUMNS, DEPTH, Gemm, STEP};
use super::tile::TileMut;
use super::x86::avx512_vnni::{self as vectors, PerColumn};

/// Rows of a tile.
const ROWS: usize = 16;
/// Bytes of a tile's row.
const WIDTH: usize = 64;
/// Bytes of a panel that one instruction multiplies.
const PANEL_STEP: usize = WIDTH / DEPTH * STEP;
/// Rows and panels of a block, in tiles.
const SIDE: usize = 2;
/// Rows of a full block.
const BLOCK: usize = SIDE * ROWS;
/// Bytes of activations over which all panels pass while they, and the lines of the result that are written meanwhile,
/// stay in the L1 cache.
const L1_BLOCK: usize = 32 * 1024;
/// With fewer rows, vectors are as fast. Sums of bf16 would have another order there.
const MIN_ROWS: usize = 5;

/// Returns `true` if the processor has the instructions and the system lets this process use them.
pub(in crate::onnx) fn is_available<const BF16: bool>() -> bool {
    static AVAILABLE: [OnceLock<bool>; 2] = [const { OnceLock::new() }; 2];
    *AVAILABLE[usize::from(BF16)].get_or_init(|| has_instructions::<BF16>() && request_tiles())
}

/// The bits of `AMX-TILE` and `AMX-INT8` or `AMX-BF16`, which the standard library does not detect in this version.
fn has_instructions<const BF16: bool>() -> bool {
    let wanted: u32 = 1 << 24 | if BF16 { 1 << 22 } else { 1 << 25 };
    #[expect(unsafe_code, reason = "the instruction is unsafe in the oldest supported version")]
    #[allow(unused_unsafe, reason = "it is safe in newer ones")]
    // SAFETY: all processors with AVX-512 have the instruction, and leaf 0 tells whether they have leaf 7.
    unsafe {
        __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & wanted == wanted
    }
}

/// Asks Linux for the tiles' state, 8 KiB for each thread that uses it. A system that does not save it, for itself
/// or for this process, refuses.
fn request_tiles() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XTILEDATA: libc::c_long = 18;
    #[expect(unsafe_code, reason = "the call has no function of its own")]
    // SAFETY: it takes two numbers and touches no memory of the process.
    let status = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) };
    status == 0
}

/// Shapes of the tile registers, as the instruction reads them.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// The thread's tile registers in use. They are released at the end, so that the system need not save them.
struct Tiles;

impl Tiles {
    /// Configures the tiles for blocks of up to [`BLOCK`] rows.
    fn configure(rows: usize) -> Self {
        let first = rows.min(ROWS);
        // A tile without rows is not valid. The last ones are not used then.
        let second = if rows > ROWS { rows - ROWS } else { first };
        let (first, second) = (first as u8, second as u8); // up to 16
        let mut configuration = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        configuration.row_bytes[..8].fill(WIDTH as u16);
        let full = ROWS as u8;
        configuration.rows[..8]
            .copy_from_slice(&[first, first, second, second, first, second, full, full]);
        #[expect(unsafe_code, reason = "the compiler knows no tiles")]
        // SAFETY: the processor has the instruction, and the configuration is valid.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const configuration,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, preserves_flags, readonly));
        }
        Self
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the compiler knows no tiles")]
        // SAFETY: the processor has the instruction.
        unsafe {
            asm!("tilerelease",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, preserves_flags, nomem));
        }
    }
}

macro_rules! clear {
    ($tile:tt) => {
        asm!(concat!("tilezero ", $tile), out($tile) _, options(nostack, preserves_flags, nomem))
    };
}

/// Loads a tile from rows that are a stride apart.
macro_rules! load {
    ($tile:tt, $rows:expr, $stride:expr) => {
        asm!(concat!("tileloadd ", $tile, ", [{rows} + {stride}]"), out($tile) _,
            rows = in(reg) $rows, stride = in(reg) $stride,
            options(nostack, preserves_flags, readonly))
    };
}

/// Stores a tile of accumulators.
macro_rules! store {
    ($tile:tt, $to:expr) => {
        asm!(concat!("tilestored [{start} + {stride}], ", $tile),
            start = in(reg) $to, stride = in(reg) size_of::<[[i32; COLUMNS]; SIDE]>(),
            options(nostack, preserves_flags))
    };
}

/// Adds a product of activations and weights to accumulators.
macro_rules! dot {
    ($acc:tt, $activations:tt, $weights:tt) => {
        if BF16 {
            dot!("tdpbf16ps ", $acc, $activations, $weights);
        } else {
            dot!("tdpbusd ", $acc, $activations, $weights);
        }
    };
    ($instruction:tt, $acc:tt, $activations:tt, $weights:tt) => {
        asm!(concat!($instruction, $acc, ", ", $activations, ", ", $weights), out($acc) _,
            options(nostack, preserves_flags, nomem))
    };
}

/// The sums of a block, integers or the bits of floats, and how far the epilogue got.
///
/// The tiles' unit works on its own for hundreds of cycles. The epilogue of a block runs meanwhile, in
/// portions between the instructions of the next block.
#[repr(C, align(64))]
struct Sums {
    acc: [[[i32; COLUMNS]; SIDE]; BLOCK],
    columns: [PerColumn; SIDE],
    rows: Range<usize>,
    first_row: usize,
    panels: Range<usize>,
}

impl Sums {
    /// Applies the epilogue to up to `count` more rows.
    #[inline]
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vnni")]
    fn finish<const BF16: bool>(&mut self, gemm: &Gemm<'_>, out: &mut TileMut<'_>, count: usize) {
        match (self.panels.len() == SIDE, gemm.gelu) {
            (false, false) => self.finish_panels::<BF16, 1, false>(gemm, out, count),
            (false, true) => self.finish_panels::<BF16, 1, true>(gemm, out, count),
            (true, false) => self.finish_panels::<BF16, 2, false>(gemm, out, count),
            (true, true) => self.finish_panels::<BF16, 2, true>(gemm, out, count),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vnni")]
    fn finish_panels<const BF16: bool, const P: usize, const GELU: bool>(
        &mut self,
        gemm: &Gemm<'_>,
        out: &mut TileMut<'_>,
        count: usize,
    ) {
        let first_column = self.panels.start * COLUMNS - out.columns().start;
        let columns = self.columns;
        let rows = self.rows.start..self.rows.end.min(self.rows.start + count);
        let acc = &self.acc[rows.start - self.first_row..];
        for (row, acc) in rows.clone().zip(acc) {
            let row_scale = gemm.row_scale(row);
            let out = &mut out.row(row)[first_column..];
            let first = epilogue::<BF16>(&acc[0], row_scale, &columns[0], GELU);
            if P == 1 {
                vectors::store_row(first, out);
                continue;
            }
            let (out, rest) = out.split_at_mut(COLUMNS);
            let second = epilogue::<BF16>(&acc[1], row_scale, &columns[1], GELU);
            vectors::store_row(first, out);
            vectors::store_row(second, rest);
        }
        self.rows.start = rows.end;
    }
}

/// Applies the epilogue to a row of a panel's sums.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vnni")]
fn epilogue<const BF16: bool>(
    acc: &[i32; COLUMNS],
    row_scale: f32,
    columns: &PerColumn,
    gelu: bool,
) -> [__m512; 1] {
    let acc = load_ints(acc);
    if BF16 {
        vectors::finish([_mm512_castsi512_ps(acc)], row_scale, columns, gelu)
    } else {
        vectors::epilogue([acc], row_scale, columns, gelu)
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vnni")]
fn load_ints(ints: &[i32; COLUMNS]) -> __m512i {
    #[expect(unsafe_code, reason = "loads are from pointers")]
    // SAFETY: the array is as long as the vector, and the instruction takes any alignment.
    unsafe {
        _mm512_loadu_si512(ints.as_ptr().cast())
    }
}

/// Weights of two panels from their last whole step on, padded with zeros.
#[repr(C, align(64))]
struct LastWeights([[i8; PANEL_STEP]; SIDE]);

/// Activations of a block's rows from their last whole step on.
#[repr(C, align(64))]
struct LastActivations([[u8; WIDTH]; BLOCK]);

/// Computes one tile of the result.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vnni")]
pub(in crate::onnx) fn compute<const BF16: bool>(gemm: &Gemm<'_>, out: &mut TileMut<'_>) {
    let rows = out.rows();
    if rows.len() < MIN_ROWS && !BF16 {
        return vectors::compute(gemm, out);
    }
    let first_panel = out.columns().start / COLUMNS;
    let no_columns = vectors::per_column(gemm, first_panel);
    let mut sums = Sums {
        acc: [[[0; COLUMNS]; SIDE]; BLOCK],
        columns: [no_columns; SIDE],
        rows: 0..0,
        first_row: 0,
        panels: first_panel..first_panel,
    };
    let rest = rows.len() % BLOCK;
    let full = rows.start..rows.end - rest;
    let in_l1 = (L1_BLOCK / gemm.k.max(1) / BLOCK).max(1) * BLOCK;
    if !full.is_empty() {
        let _tiles = Tiles::configure(BLOCK);
        for start in full.clone().step_by(in_l1) {
            row_block::<BF16>(gemm, start..full.end.min(start + in_l1), &mut sums, out);
        }
    }
    if rest > 0 {
        let _tiles = Tiles::configure(rest);
        row_block::<BF16>(gemm, full.end..rows.end, &mut sums, out);
    }
    sums.finish::<BF16>(gemm, out, BLOCK);
}

/// Computes rows of all panels.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vnni")]
fn row_block<const BF16: bool>(
    gemm: &Gemm<'_>,
    rows: Range<usize>,
    sums: &mut Sums,
    out: &mut TileMut<'_>,
) {
    let columns = out.columns();
    let panels = columns.start / COLUMNS..columns.end.div_ceil(COLUMNS);
    for panel in panels.clone().step_by(SIDE) {
        let panels = panel..panels.end.min(panel + SIDE);
        let last_weights = last_weights(gemm, panels.clone());
        let (first, last) = (panels.start, panels.end - 1);
        let columns = [vectors::per_column(gemm, first), vectors::per_column(gemm, last)];
        for row in rows.clone().step_by(BLOCK) {
            let rows = row..rows.end.min(row + BLOCK);
            let panels = panels.clone();
            let (columns, last_weights) = (&columns, &last_weights);
            let block = Block { gemm, rows, panels, columns, last_weights };
            match (block.rows.len() > ROWS, block.panels.len() > 1) {
                (false, false) => block.compute::<BF16, 1, 1>(sums, out),
                (false, true) => block.compute::<BF16, 1, 2>(sums, out),
                (true, false) => block.compute::<BF16, 2, 1>(sums, out),
                (true, true) => block.compute::<BF16, 2, 2>(sums, out),
            }
        }
    }
}

/// Copies what follows the last whole step of the panels.
fn last_weights(gemm: &Gemm<'_>, panels: Range<usize>) -> LastWeights {
    let mut last = LastWeights([[0; PANEL_STEP]; SIDE]);
    let whole = gemm.k / WIDTH * PANEL_STEP;
    let len = gemm.k.div_ceil(DEPTH) * STEP;
    for (last, panel) in last.0.iter_mut().zip(panels) {
        last[..len - whole].copy_from_slice(&gemm.weights[panel * len + whole..(panel + 1) * len]);
    }
    last
}

/// Rows and panels that are computed together.
struct Block<'a> {
    gemm: &'a Gemm<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
    columns: &'a [PerColumn; SIDE],
    last_weights: &'a LastWeights,
}

impl Block<'_> {
    /// Computes the sums of `R` tiles of rows and `P` panels, and meanwhile finishes those before.
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vnni")]
    fn compute<const BF16: bool, const R: usize, const P: usize>(
        &self,
        sums: &mut Sums,
        out: &mut TileMut<'_>,
    ) {
        let Gemm { k, activations, weights, .. } = *self.gemm;
        let steps = k.div_ceil(WIDTH).max(1);
        let portion = sums.rows.len().div_ceil(steps);
        let rows = &activations[self.rows.start * k..self.rows.end * k];
        let panel_len = k.div_ceil(DEPTH) * STEP;
        let panels = &weights[self.panels.start * panel_len..self.panels.end * panel_len];
        clear::<R, P>();
        for step in 0..k / WIDTH {
            let rows = &rows[step * WIDTH..];
            let panels = &panels[step * PANEL_STEP..];
            #[expect(unsafe_code, reason = "tiles are loaded from pointers")]
            // SAFETY: the slices have all rows and panels of the block, and each of them all whole steps.
            unsafe {
                multiply::<BF16, R, P>(rows.as_ptr(), k, panels.as_ptr(), panel_len);
            }
            sums.finish::<BF16>(self.gemm, out, portion);
        }
        if !k.is_multiple_of(WIDTH) {
            let rows = self.last_activations(rows);
            let panels = &self.last_weights.0;
            #[expect(unsafe_code, reason = "tiles are loaded from pointers")]
            // SAFETY: both arrays have as many rows and panels as a full block.
            unsafe {
                multiply::<BF16, R, P>(
                    rows.0.as_ptr().cast(),
                    WIDTH,
                    panels.as_ptr().cast(),
                    PANEL_STEP,
                );
            }
        }
        sums.finish::<BF16>(self.gemm, out, BLOCK);
        sums.columns = *self.columns;
        (sums.rows, sums.first_row) = (self.rows.clone(), self.rows.start);
        sums.panels = self.panels.clone();
        store::<R, P>(&mut sums.acc);
    }

    /// Copies what follows the last whole step of `rows`.
    fn last_activations(&self, rows: &[u8]) -> LastActivations {
        let mut last = LastActivations([[0; WIDTH]; BLOCK]);
        let whole = self.gemm.k / WIDTH * WIDTH;
        for (last, row) in last.0.iter_mut().zip(rows.chunks(self.gemm.k)) {
            last[..row.len() - whole].copy_from_slice(&row[whole..]);
        }
        last
    }
}

/// Sets the accumulators of `R` tiles of rows and `P` panels to zero.
#[inline]
fn clear<const R: usize, const P: usize>() {
    #[expect(unsafe_code, reason = "the compiler knows no tiles")]
    // SAFETY: the tiles are configured.
    unsafe {
        clear!("tmm0");
        if P == 2 {
            clear!("tmm1");
        }
        if R == 2 {
            clear!("tmm2");
        }
        if R == 2 && P == 2 {
            clear!("tmm3");
        }
    }
}

/// Adds the product of `R` tiles of rows and `P` panels to the accumulators. Rows are `row_stride` bytes apart,
/// panels `panel_stride`.
///
/// # Safety
///
/// The tiles are configured, `rows` points to as many rows of [`WIDTH`] bytes as are configured, and `panels` to
/// [`PANEL_STEP`] bytes of each panel.
#[inline]
#[expect(unsafe_code, reason = "the compiler knows no tiles")]
unsafe fn multiply<const BF16: bool, const R: usize, const P: usize>(
    rows: *const u8,
    row_stride: usize,
    panels: *const i8,
    panel_stride: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        load!("tmm6", panels, STEP);
        load!("tmm4", rows, row_stride);
        dot!("tmm0", "tmm4", "tmm6");
        if P == 2 {
            load!("tmm7", panels.add(panel_stride), STEP);
            dot!("tmm1", "tmm4", "tmm7");
        }
        if R == 2 {
            load!("tmm5", rows.add(ROWS * row_stride), row_stride);
            dot!("tmm2", "tmm5", "tmm6");
        }
        if R == 2 && P == 2 {
            dot!("tmm3", "tmm5", "tmm7");
        }
    }
}

/// Stores the accumulators of `R` tiles of rows and `P` panels.
#[inline]
fn store<const R: usize, const P: usize>(to: &mut [[[i32; COLUMNS]; SIDE]; BLOCK]) {
    let start = to.as_mut_ptr().cast::<[i32; COLUMNS]>();
    #[expect(unsafe_code, reason = "the compiler knows no tiles")]
    // SAFETY: the tiles are configured, and `to` has as many rows and panels as a full block.
    unsafe {
        store!("tmm0", start);
        if P == 2 {
            store!("tmm1", start.add(1));
        }
        if R == 2 {
            store!("tmm2", start.add(ROWS * SIDE));
        }
        if R == 2 && P == 2 {
            store!("tmm3", start.add(ROWS * SIDE + 1));
        }
    }
}
