//! From the warps' sums to the output: reduction over the block, and over the splits of a sequence.

use super::{online::Softmax, params::Params, shape::Shape, task::Task};
use crate::simt::{
    Element, Global, Shared, atomic, barrier, math,
    shuffle::shuffle_xor_f32,
    thread::{grid_x, lane, thread_index, warp},
};

/// Items that one thread writes at a time.
const ITEMS: usize = 8;

/// One thread's share of a column's output: 8 items of a head, with the column's maximum and sum.
struct Piece {
    maximum: f32,
    sum: f32,
    items: [f32; ITEMS],
}

/// Brings the warps' sums and outputs together in shared memory, column by column. The ring is free.
///
/// # Safety
/// All threads of the block take part, and every copy into the ring has been waited for.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn gather_block<G: Shape, const C: usize, const DT: usize>(
    softmax: &Softmax<C>,
    output: &[[[f32; 4]; C]; DT],
) {
    let sums = Shared::<f32>::at(G::PLAN.sums);
    let staged = Shared::<f32>::at(G::PLAN.ring);
    let dim_warps = const { G::TILE.dim_warps(G::HEAD_DIM) };
    let token_warps = const { G::TILE.token_warps(G::HEAD_DIM) };

    for n in 0..C {
        for j in 0..2 {
            let mut sum = softmax.sums[n][j];
            for bit in 2..5 {
                sum += shuffle_xor_f32(sum, 1 << bit);
            }
            if lane() < 4 {
                // SAFETY: the region holds one item for each warp and column.
                unsafe { sums.store(warp() * G::COLUMNS + (8 * n + j) as u32 + 2 * lane(), sum) };
            }
        }
    }
    // The last tile's values have been read: the ring holds the output from here on.
    barrier::block_sync();
    for turn in 0..token_warps {
        if warp() / dim_warps == turn {
            for (d, tile) in output.iter().enumerate() {
                let dim = (warp() % dim_warps * DT as u32 + d as u32) * 16 + lane() / 4;
                for (n, accumulator) in tile.iter().enumerate() {
                    for (i, &value) in accumulator.iter().enumerate() {
                        let column = (8 * n + i % 2) as u32 + 2 * (lane() % 4);
                        let index = column * G::PLAN.output_stride + dim + 8 * (i as u32 / 2);
                        // SAFETY: the region holds `COLUMNS` rows; warps of one turn hold different items, and a
                        // barrier stands between turns.
                        unsafe {
                            let before = if turn == 0 { 0.0 } else { staged.load(index) };
                            staged.store(index, before + value);
                        }
                    }
                }
            }
        }
        barrier::block_sync();
    }
}

/// Calls `body` with each piece that this thread has to write: local column, column of the sequence, first item.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn for_each_piece<G: Shape>(task: &Task, mut body: impl FnMut(u32, u32, u32)) {
    let mut index = thread_index();
    while index < G::COLUMNS * G::WORDS {
        let local = index / G::WORDS;
        let column = task.first_column + local;
        if column < task.columns {
            body(local, column, index % G::WORDS * ITEMS as u32);
        }
        index += G::THREADS;
    }
}

/// The block's own piece, from shared memory.
///
/// # Safety
/// [`gather_block`] has run.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn own_piece<G: Shape>(local: u32, item: u32) -> Piece {
    let sums = Shared::<f32>::at(G::PLAN.sums);
    let maxima = Shared::<i32>::at(G::PLAN.maxima);
    let staged = Shared::<[u32; 4]>::at(G::PLAN.ring);
    // SAFETY: the caller's promise; column and items lie in the regions.
    unsafe {
        let mut sum = 0.0;
        for warp in 0..G::TILE.warps {
            sum += sums.load(warp * G::COLUMNS + local);
        }
        let word = (local * G::PLAN.output_stride + item) / 4;
        let (low, high) = (staged.load(word), staged.load(word + 1));
        Piece { maximum: super::online::maximum(maxima, local), sum, items: floats(low, high) }
    }
}

#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn floats(low: [u32; 4], high: [u32; 4]) -> [f32; ITEMS] {
    let [a, b, c, d] = low.map(f32::from_bits);
    let [e, f, g, h] = high.map(f32::from_bits);
    [a, b, c, d, e, f, g, h]
}

#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn words([a, b, c, d, e, f, g, h]: [f32; ITEMS]) -> [[u32; 4]; 2] {
    [[a, b, c, d].map(f32::to_bits), [e, f, g, h].map(f32::to_bits)]
}

/// Writes a finished piece: normalised output and, by the first piece of a column, the log-sum-exp.
///
/// # Safety
/// The output arrays are as documented.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn finish<E: Element>(params: &Params, task: &Task, column: u32, item: u32, piece: &Piece) {
    let (row, head) = task.row_and_head(params, column);
    let normaliser = if piece.sum == 0.0 { 0.0 } else { 1.0 / piece.sum };
    let items = piece.items.map(|x| x * normaliser);
    let at = row * params.output_row_stride + head * params.output_head_stride + u64::from(item);
    // SAFETY: the caller's promise; row and head are the launch's.
    unsafe {
        if params.output_f32 != 0 {
            let output = Global::<[u32; 4]>::at(params.output.address());
            let [low, high] = words(items);
            output.store(at / 4, low);
            output.store(at / 4 + 1, high);
        } else {
            let [a, b, c, d, e, f, g, h] = items;
            let packed = [E::pack(a, b), E::pack(c, d), E::pack(e, f), E::pack(g, h)];
            Global::<[u32; 4]>::at(params.output.address()).store(at / 8, packed);
        }
        if item == 0 && !params.lse.is_null() {
            let lse = (piece.maximum + math::log2(piece.sum)) * params.lse_unit;
            params.lse.store(row * u64::from(params.query_heads) + head, lse);
        }
    }
}

/// Index of a column's state among those of split `split`.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn partial_index(params: &Params, task: &Task, split: u32, column: u32) -> u64 {
    let (row, head) = task.row_and_head(params, column);
    (u64::from(split) * u64::from(params.total_rows) + row) * u64::from(params.query_heads) + head
}

/// Writes the block's outputs: finished where the sequence is one split, else for the last split to merge.
///
/// # Safety
/// [`gather_block`] has run; the arrays that the parameters name are as documented; all threads take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn write<E: Element, G: Shape>(params: &Params, task: &Task) {
    if grid_x() == 1 {
        // SAFETY: the caller's promise.
        for_each_piece::<G>(task, |local, column, item| unsafe {
            finish::<E>(params, task, column, item, &own_piece::<G>(local, item));
        });
        return;
    }
    // SAFETY: the caller's promise; the arrival of the last split orders its reads behind all splits' writes.
    unsafe {
        for_each_piece::<G>(task, |local, column, item| {
            write_partial::<G>(params, task, local, column, item)
        });
        if is_last::<G>(params, task) {
            for_each_piece::<G>(task, |_, column, item| {
                finish::<E>(params, task, column, item, &merge::<G>(params, task, column, item));
            });
        }
    }
}

/// # Safety
/// As [`write`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn write_partial<G: Shape>(params: &Params, task: &Task, local: u32, column: u32, item: u32) {
    let index = partial_index(params, task, task.split, column);
    // SAFETY: the caller's promise; the index lies in the arrays of all splits, rows and heads.
    unsafe {
        let piece = own_piece::<G>(local, item);
        let output = Global::<[u32; 4]>::at(params.partial_output.address());
        let at = (index * u64::from(G::HEAD_DIM) + u64::from(item)) / 4;
        let [low, high] = words(piece.items);
        output.store(at, low);
        output.store(at + 1, high);
        if item == 0 {
            params.partial_sums.store(2 * index, piece.maximum);
            params.partial_sums.store(2 * index + 1, piece.sum);
        }
    }
}

/// Announces that this split has finished; whether it was the last. The last sets the count back for the next launch.
///
/// # Safety
/// As [`write`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn is_last<G: Shape>(params: &Params, task: &Task) -> bool {
    let verdict = Shared::<u32>::at(G::PLAN.thresholds);
    let kv_heads = params.query_heads / params.group.max(1);
    let counter = u64::from((task.sequence * kv_heads + task.kv_head) * params.chunks + task.chunk);
    // All partial results of the block stand before its arrival is announced.
    barrier::block_sync();
    if thread_index() == 0 {
        // SAFETY: the counter is one of the launch's, and is zero between launches; the thresholds are not needed
        // any more.
        unsafe {
            let before = atomic::fetch_add_acq_rel(params.arrivals, counter, 1);
            if before + 1 == grid_x() {
                params.arrivals.store(counter, 0);
            }
            verdict.store(0, before + 1);
        }
    }
    barrier::block_sync();
    // SAFETY: written above by thread 0.
    unsafe { verdict.load(0) == grid_x() }
}

/// A piece of all splits, merged in their order.
///
/// # Safety
/// As [`write`], and every split has arrived.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn merge<G: Shape>(params: &Params, task: &Task, column: u32, item: u32) -> Piece {
    let outputs = Global::<[u32; 4]>::at(params.partial_output.address());
    let mut merged = Piece { maximum: f32::NEG_INFINITY, sum: 0.0, items: [0.0; ITEMS] };
    for split in 0..grid_x() {
        let index = partial_index(params, task, split, column);
        let at = (index * u64::from(G::HEAD_DIM) + u64::from(item)) / 4;
        // SAFETY: the caller's promise; the index lies in the arrays of all splits, rows and heads.
        let (maximum, sum, items) = unsafe {
            (
                params.partial_sums.load(2 * index),
                params.partial_sums.load(2 * index + 1),
                floats(outputs.load(at), outputs.load(at + 1)),
            )
        };
        let raised = merged.maximum.max(maximum);
        let reference = super::online::finite(raised);
        let (old, new) = (math::exp2(merged.maximum - reference), math::exp2(maximum - reference));
        merged.maximum = raised;
        merged.sum = merged.sum * old + sum * new;
        for i in 0..ITEMS {
            merged.items[i] = merged.items[i] * old + items[i] * new;
        }
    }
    merged
}
