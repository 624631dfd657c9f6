//! One chunk of a sequence: logits, exponentials, and their share of the map.

use super::{
    super::{
        math::{self, Softmax, convert, finite},
        vector::Vector,
    },
    OPERATION,
    sequence::{Report, Sequence, token},
};
use crate::{
    error::InvalidInput,
    score::{
        arrays::{ScoreArrays, SourceArrays},
        problem::{ScoreProblem, Source},
    },
};

/// Tokens in each chunk of a sequence but the last.
pub(super) const TOKENS: usize = 1024;

/// A chunk, with the memory that it alone has.
pub(super) struct Chunk<'a> {
    /// The sequence's place among those that have queries.
    place: usize,
    /// The sequence's number in the batch.
    sequence: u32,
    /// The slot of its queries.
    slot: u32,
    /// The first position.
    begin: u32,
    /// The positions' share of the map.
    map: &'a mut [f32],
    /// Logits, then exponentials, `[columns, positions]`.
    exponentials: &'a mut [f32],
    /// What the exponentials are relative to, and their sum, by column.
    softmax: Vec<Softmax>,
}

/// The chunks of those `sequences` that have queries: sequence by sequence, as their parts stand in `map`.
pub(super) fn divide<'a>(
    problem: &ScoreProblem,
    sequences: &[Sequence],
    mut map: &'a mut [f32],
    exponentials: &'a mut Vec<f32>,
) -> Result<Vec<Chunk<'a>>, InvalidInput> {
    let columns = problem.column_capacity() as usize;
    let scored = || sequences.iter().filter_map(|sequence| Some((sequence, sequence.slot?)));
    let items = scored().map(|(sequence, _)| sequence.part.len()).sum::<usize>().saturating_mul(columns);
    if exponentials.try_reserve(items.saturating_sub(exponentials.len())).is_err() {
        let actual = format!("too little for {items} logits");
        return Err(InvalidInput::new(OPERATION, "memory", "enough for every logit", actual));
    }
    exponentials.resize(items, 0.0);
    let (mut exponentials, mut at) = (&mut exponentials[..], 0);
    let mut chunks = Vec::new();
    for (place, (sequence, slot)) in scored().enumerate() {
        let (_, rest) = map.split_at_mut(sequence.part.start - at);
        let (part, rest) = rest.split_at_mut(sequence.part.len());
        (map, at) = (rest, sequence.part.end);
        for (index, map) in part.chunks_mut(TOKENS).enumerate() {
            let (own, rest) = exponentials.split_at_mut(map.len() * columns);
            exponentials = rest;
            chunks.push(Chunk {
                place,
                sequence: sequence.index,
                slot,
                begin: (index * TOKENS) as u32,
                map,
                exponentials: own,
                softmax: Vec::new(),
            });
        }
    }
    Ok(chunks)
}

/// Memory of one thread, kept from launch to launch.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    tokens: Vec<Option<u64>>,
    queries: Vec<f32>,
    keys: Vec<f32>,
}

/// A source with everything that is read.
pub(super) struct Task<'a> {
    pub(super) problem: &'a ScoreProblem,
    pub(super) arrays: &'a ScoreArrays<'a>,
    pub(super) source: &'a Source,
    pub(super) own: &'a SourceArrays<'a>,
    /// Tokens gathered and converted at a time.
    pub(super) tile: u32,
    pub(super) report: Report<'a>,
}

/// Replaces the chunk's memory by the exponentials of the source's logits.
#[inline(always)]
pub(super) fn run<const DIM: usize, const COLUMNS: usize, V: Vector>(
    task: &Task<'_>,
    scratch: &mut Scratch,
    chunk: &mut Chunk<'_>,
) {
    let positions = chunk.map.len();
    load_queries::<DIM, COLUMNS>(task, chunk.slot, &mut scratch.queries);
    for first in (0..positions).step_by(task.tile as usize) {
        let tile = first..(first + task.tile as usize).min(positions);
        let begin = chunk.begin + first as u32;
        let look_up = |ahead: usize| {
            token(task.problem, task.arrays, chunk.sequence, begin + ahead as u32, task.report)
        };
        scratch.tokens.clear();
        scratch.tokens.extend((0..tile.len()).map(look_up));
        let mut queries = scratch.queries.as_chunks::<DIM>().0.as_chunks::<COLUMNS>().0.iter();
        let mut column = 0;
        for heads in task.source.by_kv_head(task.problem.group()) {
            gather::<DIM>(task, heads[0].head / task.problem.group(), &scratch.tokens, &mut scratch.keys);
            let keys = scratch.keys.as_chunks::<DIM>().0;
            let end = column + heads.len() * task.problem.tokens as usize;
            for column in (column..end).step_by(COLUMNS) {
                let Some(queries) = queries.next() else { break };
                let rows = &mut chunk.exponentials[column * positions..];
                let columns = COLUMNS.min(end - column);
                for (ahead, (key, token)) in keys.iter().zip(&scratch.tokens).enumerate() {
                    let logits = math::scores::<DIM, COLUMNS, V>(queries, key);
                    for (index, logit) in logits.into_iter().enumerate().take(columns) {
                        rows[index * positions + first + ahead] =
                            if token.is_some() { logit } else { f32::NEG_INFINITY };
                    }
                }
            }
            column = end;
        }
    }
    let columns = task.problem.columns(task.source) as usize;
    chunk.softmax.clear();
    chunk.softmax.extend(chunk.exponentials.chunks_mut(positions).take(columns).map(|logits| {
        let mut softmax = Softmax::EMPTY;
        // Queries hold the scale already: a masked logit times a negative one would be the largest.
        softmax.advance(logits, 1.0);
        softmax
    }));
}

/// The queries of `slot` in the order of columns, as floats times the scale; each KV head's columns are filled up with zeros
/// to a multiple of `COLUMNS`.
#[inline(always)]
fn load_queries<const DIM: usize, const COLUMNS: usize>(task: &Task<'_>, slot: u32, queries: &mut Vec<f32>) {
    let scale_log2 = task.arrays.scale * std::f32::consts::LOG2_E;
    queries.clear();
    let mut first = 0;
    for heads in task.source.by_kv_head(task.problem.group()) {
        let mut column = queries.len();
        let columns = (heads.len() * task.problem.tokens as usize).next_multiple_of(COLUMNS);
        queries.resize(column + columns * DIM, 0.0);
        for token in 0..task.problem.tokens {
            for head in first..first + heads.len() as u32 {
                let at = task.arrays.strides.query(slot, token, head) as usize;
                let query = &mut queries[column..column + DIM];
                convert(task.problem.dtype, &task.own.query[at..][..DIM], query);
                for item in query {
                    *item *= scale_log2;
                }
                column += DIM;
            }
        }
        first += heads.len() as u32;
    }
}

/// The keys of `tokens` as floats, zeros where there are none.
#[inline(always)]
fn gather<const DIM: usize>(task: &Task<'_>, kv_head: u32, tokens: &[Option<u64>], keys: &mut Vec<f32>) {
    keys.resize(tokens.len() * DIM, 0.0);
    let head = u64::from(kv_head) * task.problem.kv.kv_head_stride;
    for (&token, key) in tokens.iter().zip(keys.as_chunks_mut::<DIM>().0) {
        match token {
            Some(token) => {
                convert(task.problem.dtype, &task.own.key[(token + head) as usize..][..DIM], key);
            }
            None => key.fill(0.0),
        }
    }
}

/// Maximum and sum of each of `columns` columns over all of a sequence's chunks, in the order of the sequences.
pub(super) fn totals(chunks: &[Chunk<'_>], columns: usize) -> Vec<Vec<Softmax>> {
    let of = |chunks: &[Chunk<'_>]| {
        let states = |column: usize| chunks.iter().map(move |chunk| chunk.softmax[column]);
        (0..columns).map(|column| states(column).fold(Softmax::EMPTY, Softmax::merge)).collect()
    };
    chunks.chunk_by(|a, b| a.place == b.place).map(of).collect()
}

impl Chunk<'_> {
    /// Adds the columns' probabilities times their `weights` to the map.
    pub(super) fn fold(&mut self, weights: &[f32], totals: &[Vec<Softmax>]) {
        let columns = weights.iter().zip(&totals[self.place]).zip(&self.softmax);
        let rows = self.exponentials.chunks(self.map.len());
        for (((&weight, total), own), row) in columns.zip(rows) {
            // A column without a single token that can be read gives nothing.
            let normaliser = if total.sum == 0.0 { 0.0 } else { weight / total.sum };
            let factor = normaliser * math::exp2(own.maximum - finite(total.maximum));
            for (score, exponential) in self.map.iter_mut().zip(row) {
                *score += factor * exponential;
            }
        }
    }
}
