//! The parts of a timed problem of which the reference is computed.

use dustin::{
    InvalidInput,
    attention::{
        arrays::AttentionArrays,
        problem::{AttentionProblem, Mask},
        reference::{self, Reference},
        synthetic::AttentionInput,
    },
    kv::PagedKv,
};

use crate::device::judge::{samples, spread};

/// Multiplications and additions that the reference of a timed problem may take: some four seconds of 16 cores.
pub(super) const WORK: u64 = 12_000_000_000;

/// What some rows and heads of an input must give.
pub(super) struct Part {
    /// Where they begin.
    pub(super) first_row: usize,
    pub(super) first_head: usize,
    /// The problem of these alone, whose arrays are strided as the whole's are.
    pub(super) problem: AttentionProblem,
    pub(super) reference: Reference,
}

/// The sequences and KV heads of a timed problem whose reference is computed with about `work` multiplications and additions:
/// all heads of some sequences, or as many heads of them as that allows, evenly spread, the first and the last in any case.
///
/// A variant treats all sequences alike, and all KV heads, from whatever places it computes for them: a wrong one shows in any head
/// but the first. Of a head that is sampled all rows are compared, in all tokens that they read: so every chunk of query columns, every
/// split, and every tile is seen, and one token too few or too many in tens of thousands still exceeds the error that rounding
/// leaves in the norm of so many outputs.
pub(super) fn sampled(problem: &AttentionProblem, context: u32, work: u64) -> Vec<(usize, u32)> {
    let sequences = samples(problem.batch);
    let heads = problem.kv.kv_heads as usize;
    let tokens = problem.confirmed_capacity().min(context).saturating_add(problem.rows);
    let columns = u64::from(problem.rows) * u64::from(problem.group());
    let of_head = u64::from(tokens) * columns * u64::from(problem.kv.head_dim) * 2;
    let affordable = usize::try_from(work / of_head.max(1)).unwrap_or(usize::MAX);
    let pairs = sequences.len() * heads;
    spread(affordable.clamp(2, pairs.max(2)), pairs)
        .map(|pair| (sequences[pair / heads], (pair % heads) as u32))
        .collect()
}

/// The reference of one KV head of one sequence, as a problem of its own.
pub(super) fn part(input: &AttentionInput, sequence: usize, kv_head: u32) -> Result<Part, InvalidInput> {
    let (whole, all) = (&input.problem, input.arrays());
    let starts = &input.row_starts[sequence..=sequence + 1];
    let (first_row, rows) = (starts[0] as usize, starts[1] - starts[0]);
    let first_head = (kv_head * whole.group()) as usize;
    let problem = AttentionProblem {
        batch: 1,
        total_rows: rows as u32,
        query_heads: whole.group(),
        kv: PagedKv { kv_heads: 1, ..whole.kv },
        ..*whole
    };
    let strides = &input.strides;
    let head_of = |items: usize| items * kv_head as usize;
    let set_of = if whole.sets_per_sequence() > 1 { kv_head as usize } else { 0 };
    let arrays = AttentionArrays {
        query: &all.query
            [first_row * strides.query_row as usize + first_head * strides.query_head as usize..],
        key: &all.key[head_of(whole.kv.kv_head_stride as usize)..],
        value: &all.value[head_of(whole.kv.kv_head_stride as usize)..],
        block_table: &all.block_table[sequence * strides.table as usize..],
        lengths: &all.lengths[sequence..],
        row_starts: &[0, rows],
        set: &all.set[sequence * strides.set as usize + set_of * strides.set_head as usize..],
        set_sizes: &all.set_sizes[sequence * whole.sets_per_sequence() as usize + set_of..],
        masks: if whole.mask == Mask::Tree { &all.masks[first_row..] } else { all.masks },
        ..all
    };
    let reference = reference::attention(&problem, &arrays)?;
    Ok(Part { first_row, first_head, problem, reference })
}
