//! One task: a sequence, a KV head and a split of the sequence's set.

use super::{
    super::{
        math::{self, Softmax, convert},
        vector::Vector,
    },
    confirmed::Tokens,
    sequence::{Report, Sequence},
    variants::CpuCandidate,
};
use crate::attention::{arrays::AttentionArrays, problem::AttentionProblem};

/// How a launch divides into tasks, each with its share of the partial results: `[sequences, kv_heads, splits,
/// columns, head_dim + 2]` floats, as many columns as each sequence has.
#[derive(Debug)]
pub(super) struct Shape {
    kv_heads: u32,
    pub(super) splits: u32,
    /// Floats of one column's partial result: output, maximum and sum.
    column_items: usize,
    /// Columns of each sequence for one KV head.
    columns: Vec<usize>,
    /// Where the partial results of each sequence start and, last, where they end.
    starts: Vec<usize>,
}

/// Which task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) kv_head: u32,
    pub(super) split: u32,
}

impl Shape {
    pub(super) fn new(
        problem: &AttentionProblem,
        candidate: &CpuCandidate,
        sequences: &[Option<Sequence>],
    ) -> Self {
        let rows = sequences.iter().map(|sequence| sequence.map_or(0, |sequence| sequence.rows));
        let columns: Vec<usize> = rows.map(|rows| (rows * problem.group()) as usize).collect();
        let column_items = problem.kv.head_dim as usize + 2;
        let tasks = problem.kv.kv_heads as usize * candidate.splits as usize;
        let mut starts = vec![0];
        let mut end = 0;
        for columns in &columns {
            end += tasks * columns * column_items;
            starts.push(end);
        }
        Self { kv_heads: problem.kv.kv_heads, splits: candidate.splits, column_items, columns, starts }
    }

    /// Floats of all partial results.
    pub(super) fn partial_items(&self) -> usize {
        self.starts[self.columns.len()]
    }

    /// Every sequence's tasks with their partial results.
    pub(super) fn tasks<'a>(
        &'a self,
        mut partials: &'a mut [f32],
    ) -> impl Iterator<Item = (usize, Place, &'a mut [f32])> + Send {
        let places = (0..self.kv_heads)
            .flat_map(|kv_head| (0..self.splits).map(move |split| Place { kv_head, split }));
        let nonempty = (0..self.columns.len()).filter(|&sequence| self.columns[sequence] > 0);
        nonempty.flat_map(move |sequence| places.clone().map(move |place| (sequence, place))).map(
            move |(sequence, place)| {
                let (task, rest) =
                    std::mem::take(&mut partials).split_at_mut(self.columns[sequence] * self.column_items);
                partials = rest;
                (sequence, place, task)
            },
        )
    }

    /// The partial result of a column and split: output, then maximum and sum.
    pub(super) fn partial<'a>(
        &self,
        partials: &'a [f32],
        sequence: u32,
        place: Place,
        column: u32,
    ) -> &'a [f32] {
        let sequence = sequence as usize;
        let task = place.kv_head as usize * self.splits as usize + place.split as usize;
        let index = task * self.columns[sequence] + column as usize;
        &partials[self.starts[sequence] + index * self.column_items..][..self.column_items]
    }
}

/// Memory of one thread, kept from launch to launch.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    tokens: Vec<u64>,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    scores: Vec<f32>,
    outputs: Vec<f32>,
    softmax: Vec<Softmax>,
}

/// A task with everything that it reads.
pub(super) struct Task<'a> {
    pub(super) problem: &'a AttentionProblem,
    pub(super) candidate: &'a CpuCandidate,
    pub(super) arrays: &'a AttentionArrays<'a>,
    pub(super) sequence: &'a Sequence,
    pub(super) place: Place,
    pub(super) report: Report<'a>,
}

/// Runs a task and writes the partial results of its columns.
#[inline(always)]
pub(super) fn run<const DIM: usize, const COLUMNS: usize, V: Vector>(
    task: &Task<'_>,
    scratch: &mut Scratch,
    partial: &mut [f32],
) {
    let columns = (task.sequence.rows * task.problem.group()) as usize;
    let scale_log2 = task.arrays.scale * std::f32::consts::LOG2_E;
    let tile_tokens = task.candidate.variant.tokens;
    let confirmed = Tokens::new(task.problem, task.arrays, task.sequence, task.place.kv_head, task.report);
    let (tiles, splits) = (confirmed.count.div_ceil(tile_tokens), task.candidate.splits);
    let (first_tile, end_tile) = share(tiles, splits, task.place.split);

    let passes = columns.div_ceil(COLUMNS);
    let Scratch { tokens, queries, keys, values, scores, outputs, softmax } = scratch;
    load_queries(task, queries, passes * COLUMNS, DIM);
    let queries = queries.as_chunks::<DIM>().0.as_chunks::<COLUMNS>().0;
    outputs.clear();
    outputs.resize(passes * COLUMNS * DIM, 0.0);
    let outputs = outputs.as_chunks_mut::<DIM>().0.as_chunks_mut::<COLUMNS>().0;
    softmax.clear();
    softmax.resize(passes * COLUMNS, Softmax::EMPTY);

    for tile in first_tile..end_tile {
        let indices = tile * tile_tokens..((tile + 1) * tile_tokens).min(confirmed.count);
        tokens.clear();
        tokens.extend(
            indices.filter_map(|index| {
                confirmed.get(task.problem, task.arrays, task.sequence, index, task.report)
            }),
        );
        if tokens.is_empty() {
            continue;
        }
        gather::<DIM>(task, task.arrays.key, tokens, keys);
        gather::<DIM>(task, task.arrays.value, tokens, values);
        let (keys, values) = (keys.as_chunks::<DIM>().0, values.as_chunks::<DIM>().0);
        scores.resize(COLUMNS * keys.len(), 0.0);
        for ((queries, outputs), softmax) in
            queries.iter().zip(outputs.iter_mut()).zip(softmax.chunks_mut(COLUMNS))
        {
            for (token, key) in keys.iter().enumerate() {
                let column_scores = math::scores::<DIM, COLUMNS, V>(queries, key);
                for (column, score) in column_scores.into_iter().enumerate() {
                    scores[column * keys.len() + token] = score;
                }
            }
            for ((softmax, output), scores) in
                softmax.iter_mut().zip(outputs.iter_mut()).zip(scores.chunks_mut(keys.len()))
            {
                let factor = softmax.advance(scores, scale_log2);
                for item in output {
                    *item *= factor;
                }
            }
            let probabilities = std::array::from_fn(|column| &scores[column * keys.len()..][..keys.len()]);
            math::add_values::<DIM, COLUMNS, V>(outputs, probabilities, values);
        }
    }
    let (queries, outputs) = (queries.as_flattened(), outputs.as_flattened_mut());
    if task.place.split + 1 == splits {
        add_own_rows::<DIM, V>(task, queries, keys, values, softmax, outputs, scale_log2);
    }
    for ((partial, output), softmax) in partial.chunks_mut(DIM + 2).zip(outputs).zip(softmax) {
        partial[..DIM].copy_from_slice(output);
        partial[DIM..].copy_from_slice(&[softmax.maximum, softmax.sum]);
    }
}

/// The step's own rows, one at a time: each must not touch the columns that do not see it even if it holds NaN.
#[inline(always)]
fn add_own_rows<const DIM: usize, V: Vector>(
    task: &Task<'_>,
    queries: &[[f32; DIM]],
    keys: &mut Vec<f32>,
    values: &mut Vec<f32>,
    softmax: &mut [Softmax],
    outputs: &mut [[f32; DIM]],
    scale_log2: f32,
) {
    let group = task.problem.group();
    let columns = (task.sequence.rows * group) as usize;
    for row in 0..task.sequence.rows {
        let Some(token) = task.sequence.own_token(task.problem, task.arrays, row, task.report) else {
            continue;
        };
        gather::<DIM>(task, task.arrays.key, &[token], keys);
        gather::<DIM>(task, task.arrays.value, &[token], values);
        let (keys, values) = (keys.as_chunks::<DIM>().0, values.as_chunks::<DIM>().0);
        let sees =
            |&column: &usize| task.sequence.sees(task.problem, task.arrays, column as u32 / group, row);
        for column in (0..columns).filter(sees) {
            let query = std::array::from_ref(&queries[column]);
            let mut scores = math::scores::<DIM, 1, V>(query, &keys[0]);
            let factor = softmax[column].advance(&mut scores, scale_log2);
            for item in &mut outputs[column] {
                *item *= factor;
            }
            let output = std::array::from_mut(&mut outputs[column]);
            math::add_values::<DIM, 1, V>(output, [&scores], values);
        }
    }
}

/// The part of `count` that falls to `split`: `begin..end`.
fn share(count: u32, splits: u32, split: u32) -> (u32, u32) {
    let begin = |split: u32| (u64::from(count) * u64::from(split) / u64::from(splits)) as u32;
    (begin(split), begin(split + 1))
}

/// The queries of the task's columns as floats, zeros behind the last.
fn load_queries(task: &Task<'_>, queries: &mut Vec<f32>, padded: usize, dim: usize) {
    queries.clear();
    queries.resize(padded * dim, 0.0);
    let group = task.problem.group();
    let columns = task.sequence.rows * group;
    for (column, query) in (0..columns).zip(queries.chunks_mut(dim)) {
        let row = u64::from(task.sequence.first_row + column / group);
        let head = u64::from(task.place.kv_head * group + column % group);
        let at = row * task.arrays.strides.query_row + head * task.arrays.strides.query_head;
        convert(task.problem.dtype, &task.arrays.query[at as usize..][..dim], query);
    }
}

/// The rows of `tokens` as floats.
#[inline(always)]
fn gather<const DIM: usize>(task: &Task<'_>, cache: &[u16], tokens: &[u64], rows: &mut Vec<f32>) {
    rows.resize(tokens.len() * DIM, 0.0);
    let head = u64::from(task.place.kv_head) * task.problem.kv.kv_head_stride;
    for (&token, row) in tokens.iter().zip(rows.as_chunks_mut::<DIM>().0) {
        convert(task.problem.dtype, &cache[(token + head) as usize..][..DIM], row);
    }
}
