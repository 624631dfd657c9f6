//! Score gathering in f64, written for clarity: it judges every back end.

use std::ops::Range;

use dustin_kernels::fault::Fault;

use crate::{
    element::decode,
    error::{InvalidInput, require_items},
    score::{
        arrays::{ScoreArrays, SourceArrays},
        problem::{OPERATION, ScoreProblem},
    },
};

/// What a position of the map must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// What it held before: it is no sequence's.
    Untouched,
    /// Exactly zero, or what it held before if the problem accumulates: its token cannot be read, or its sequence has
    /// no queries.
    Masked,
    /// A score.
    Scored,
}

/// What score gathering must give.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The map, `[map_capacity]`.
    pub map: Vec<f64>,
    /// Σ |weight| · probability at each position, `[map_capacity]`: what the errors of a score are measured by, as scores
    /// of weights of both signs may cancel out.
    pub magnitudes: Vec<f64>,
    /// What each position of the map is.
    pub positions: Vec<Position>,
    /// Each sequence's part of the map that is written: as long as its length.
    pub parts: Vec<Range<usize>>,
    /// What the sequence's scores sum up to, `[batch]`: the weights of its columns, as each column's probabilities sum
    /// to 1; 0 if no token can be read.
    pub sums: Vec<f64>,
    /// The status word of a launch that starts with 0.
    pub status: u64,
}

/// Gathers the scores of `problem` over `arrays`, with the defined results where the device's data is out of range, into
/// a copy of `map`, `[map_capacity]`.
///
/// A sequence whose length is negative, or whose part of the map is descending, outside the map, shorter than the length
/// or in part that of an earlier sequence, is skipped: nothing is written. One whose slot is negative or outside the
/// buffer has no queries. Tokens beyond the block table or in pages outside the cache are masked. All of it but a negative
/// slot is reported, pages only where there are queries; the highest status word stays.
///
/// # Errors
/// The problem is invalid, or an array is too short for it.
pub fn score(
    problem: &ScoreProblem,
    arrays: &ScoreArrays<'_>,
    map: &[f32],
) -> Result<Reference, InvalidInput> {
    arrays.validate(problem)?;
    require_items(OPERATION, "map", map.len(), problem.map_capacity.into())?;
    let map = &map[..problem.map_capacity as usize];
    let mut reference = Reference {
        map: map.iter().map(|&x| x.into()).collect(),
        magnitudes: vec![0.0; map.len()],
        positions: vec![Position::Untouched; map.len()],
        parts: Vec::new(),
        sums: Vec::new(),
        status: 0,
    };
    for sequence in 0..problem.batch {
        let mut report = |fault: Fault| reference.status = reference.status.max(fault.word(sequence));
        let part = match part(problem, arrays, sequence, &reference.positions) {
            Ok(part) => part,
            Err(fault) => {
                report(fault);
                reference.parts.push(0..0);
                reference.sums.push(0.0);
                continue;
            }
        };
        let slot = slot(problem, arrays, sequence, &mut report);
        let tokens = tokens(problem, arrays, sequence, part.len(), slot.is_some(), &mut report);
        let scores = gather(problem, arrays, slot, &tokens);
        for ((at, [score, magnitude]), token) in part.clone().zip(scores).zip(&tokens) {
            reference.magnitudes[at] = magnitude;
            let before = if problem.accumulate { reference.map[at] } else { 0.0 };
            reference.map[at] = before + score;
            reference.positions[at] = if token.is_some() { Position::Scored } else { Position::Masked };
        }
        let weights = problem.sources.iter().flat_map(|source| &source.heads);
        let sum: f64 = weights.map(|captured| f64::from(captured.weight)).sum();
        let any = tokens.iter().any(Option::is_some);
        reference.sums.push(if any { sum * f64::from(problem.tokens) } else { 0.0 });
        reference.parts.push(part);
    }
    Ok(reference)
}

/// The positions of the map that a sequence's scores belong to.
fn part(
    problem: &ScoreProblem,
    arrays: &ScoreArrays<'_>,
    sequence: u32,
    positions: &[Position],
) -> Result<Range<usize>, Fault> {
    let sequence = sequence as usize;
    let length = i64::from(arrays.lengths[sequence]);
    if length < 0 {
        return Err(Fault::Length);
    }
    let (start, end) = (i64::from(arrays.map_starts[sequence]), i64::from(arrays.map_starts[sequence + 1]));
    if start < 0 || end > i64::from(problem.map_capacity) || end - start < length {
        return Err(Fault::Map);
    }
    let part = start as usize..(start + length) as usize;
    if positions[part.clone()].iter().any(|&position| position != Position::Untouched) {
        return Err(Fault::Map);
    }
    Ok(part)
}

/// The slot of a sequence's captured queries, if it has any.
fn slot(
    problem: &ScoreProblem,
    arrays: &ScoreArrays<'_>,
    sequence: u32,
    report: &mut impl FnMut(Fault),
) -> Option<u32> {
    let Some(slots) = arrays.slots else { return Some(sequence) };
    let slot = i64::from(slots[sequence as usize]);
    if slot >= i64::from(problem.slots) {
        report(Fault::Slot);
    }
    (0..i64::from(problem.slots)).contains(&slot).then_some(slot as u32)
}

/// Page of each of the sequence's `length` tokens and the token's slot in it; nothing for those that are masked.
fn tokens(
    problem: &ScoreProblem,
    arrays: &ScoreArrays<'_>,
    sequence: u32,
    length: usize,
    has_queries: bool,
    report: &mut impl FnMut(Fault),
) -> Vec<Option<(u32, u32)>> {
    let page_size = problem.kv.page_size as usize;
    let table = &arrays.block_table[sequence as usize * arrays.strides.table as usize..];
    let table = &table[..problem.table_width as usize];
    if length > table.len() * page_size {
        report(Fault::Length);
    }
    let mut look_up = |position: usize| {
        let page = i64::from(*table.get(position / page_size)?);
        if !(0..i64::from(problem.kv.pages)).contains(&page) {
            report(Fault::Page);
            return None;
        }
        Some((page as u32, (position % page_size) as u32))
    };
    (0..length).map(|position| if has_queries { look_up(position) } else { None }).collect()
}

/// The weighted sums of all columns' probabilities at `tokens`, and those by the weights' magnitudes.
fn gather(
    problem: &ScoreProblem,
    arrays: &ScoreArrays<'_>,
    slot: Option<u32>,
    tokens: &[Option<(u32, u32)>],
) -> Vec<[f64; 2]> {
    let mut scores = vec![[0.0; 2]; tokens.len()];
    let Some(slot) = slot else { return scores };
    for (source, own) in problem.sources.iter().zip(&arrays.sources) {
        for token in 0..problem.tokens {
            for (index, captured) in source.heads.iter().enumerate() {
                let at = arrays.strides.query(slot, token, index as u32) as usize;
                let query = &own.query[at..][..problem.kv.head_dim as usize];
                let probabilities = attend(problem, arrays.scale, own, query, captured.head, tokens);
                let weight = f64::from(captured.weight);
                for ([score, magnitude], probability) in scores.iter_mut().zip(probabilities) {
                    *score += weight * probability;
                    *magnitude += weight.abs() * probability;
                }
            }
        }
    }
    scores
}

/// The probabilities that `query` of query head `head` gives to `tokens`, 0 for those that are masked.
fn attend(
    problem: &ScoreProblem,
    scale: f32,
    source: &SourceArrays<'_>,
    query: &[u16],
    head: u32,
    tokens: &[Option<(u32, u32)>],
) -> Vec<f64> {
    let value_of = |bits: u16| f64::from(decode(problem.dtype, bits));
    let query: Vec<f64> = query.iter().map(|&bits| value_of(bits)).collect();
    let logits: Vec<f64> = tokens
        .iter()
        .map(|token| {
            let Some((page, place)) = *token else { return f64::NEG_INFINITY };
            let at = problem.kv.offset(page, place, head / problem.group()) as usize;
            let product: f64 = query.iter().zip(&source.key[at..]).map(|(q, &k)| q * value_of(k)).sum();
            f64::from(scale) * product
        })
        .collect();
    let maximum = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if maximum == f64::NEG_INFINITY {
        return vec![0.0; tokens.len()];
    }
    let sum: f64 = logits.iter().map(|logit| (logit - maximum).exp()).sum();
    logits.into_iter().map(|logit| (logit - maximum).exp() / sum).collect()
}

#[cfg(test)]
mod tests;
