//! Attention in f64, written for clarity: it judges every back end.

use std::ops::Range;

use dustin_kernels::{attention::params::EVERYTHING, fault::Fault};

use crate::{
    attention::{
        arrays::AttentionArrays,
        problem::{AttentionProblem, Confirmed, Entries, Mask, Sets},
    },
    element::decode,
    error::InvalidInput,
};

/// What attention must give.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Outputs, `[total_rows, query_heads, head_dim]`.
    pub output: Vec<f64>,
    /// `Σ p·|v|` of each output, which rounding errors are measured by.
    pub magnitude: Vec<f64>,
    /// Natural log-sum-exp, `[total_rows, query_heads]`; negative infinity for an empty row.
    pub lse: Vec<f64>,
    /// Whether the row belongs to a sequence; the others are not written.
    pub owned: Vec<bool>,
    /// The status word of a launch that starts with 0.
    pub status: u64,
}

/// A token that can be read: its page, its slot in it, and which of the step's own rows it is.
struct Token {
    page: u32,
    slot: u32,
    own_row: Option<u32>,
}

/// What one query head of one row sees: output, `Σ p·|v|` and log-sum-exp.
struct HeadResult {
    output: Vec<f64>,
    magnitude: Vec<f64>,
    lse: f64,
}

/// Attention of `problem` over `arrays`, with the defined results where the device's data is out of range.
///
/// A sequence whose rows are descending, more than the capacity, outside the batch's rows or in part those of an
/// earlier sequence is skipped. Else the size of each of its
/// sets is clamped; if it has rows, a position outside the length, a position beyond the block table, a page or a slot
/// outside the cache and, where the length is negative, every token is masked. All of it is reported; the highest
/// status word stays.
///
/// # Errors
/// The problem is invalid, or an array is too short for it.
pub fn attention(
    problem: &AttentionProblem,
    arrays: &AttentionArrays<'_>,
) -> Result<Reference, InvalidInput> {
    arrays.validate(problem)?;
    let (rows, heads) = (problem.total_rows as usize, problem.query_heads as usize);
    let dim = problem.kv.head_dim as usize;
    let mut reference = Reference {
        output: vec![0.0; rows * heads * dim],
        magnitude: vec![0.0; rows * heads * dim],
        lse: vec![f64::NEG_INFINITY; rows * heads],
        owned: vec![false; rows],
        status: 0,
    };
    for sequence in 0..problem.batch {
        let mut report = |fault: Fault| reference.status = reference.status.max(fault.word(sequence));
        let Some((first_row, rows)) = rows_of(problem, arrays, sequence, &reference.owned) else {
            report(Fault::Rows);
            continue;
        };
        reference.owned[first_row as usize..(first_row + rows) as usize].fill(true);
        for kv_head in 0..problem.kv.kv_heads {
            let tokens = tokens_of(problem, arrays, sequence, kv_head, rows, &mut report);
            for (row, head) in (0..rows).flat_map(|row| (0..problem.group()).map(move |head| (row, head))) {
                let head = kv_head * problem.group() + head;
                let seen = |token: &Token| {
                    token.own_row.is_none_or(|own| sees(arrays, problem, first_row, row, own))
                };
                let seen: Vec<&Token> = tokens.iter().filter(|token| seen(token)).collect();
                let result = attend(problem, arrays, first_row + row, head, &seen);
                let index = (first_row + row) as usize * heads + head as usize;
                reference.output[index * dim..][..dim].copy_from_slice(&result.output);
                reference.magnitude[index * dim..][..dim].copy_from_slice(&result.magnitude);
                reference.lse[index] = result.lse;
            }
        }
    }
    Ok(reference)
}

/// First row and number of rows of a sequence, if they are as they must be and not `owned` by an earlier one.
fn rows_of(
    problem: &AttentionProblem,
    arrays: &AttentionArrays<'_>,
    sequence: u32,
    owned: &[bool],
) -> Option<(u32, u32)> {
    let first = i64::from(arrays.row_starts[sequence as usize]);
    let last = i64::from(arrays.row_starts[sequence as usize + 1]);
    let fits = first >= 0
        && first <= last
        && last <= i64::from(problem.total_rows)
        && last - first <= i64::from(problem.rows)
        && !owned[first as usize..last as usize].contains(&true);
    fits.then_some((first as u32, (last - first) as u32))
}

/// Whether a sequence's row `row` sees its row `own`.
fn sees(
    arrays: &AttentionArrays<'_>,
    problem: &AttentionProblem,
    first_row: u32,
    row: u32,
    own: u32,
) -> bool {
    match problem.mask {
        Mask::Causal => own <= row,
        Mask::Tree => arrays.masks[(first_row + row) as usize] >> own & 1 != 0,
    }
}

/// The tokens that a sequence's KV head can read: the confirmed ones that are asked for, then the sequence's own rows.
fn tokens_of(
    problem: &AttentionProblem,
    arrays: &AttentionArrays<'_>,
    sequence: u32,
    kv_head: u32,
    rows: u32,
    report: &mut impl FnMut(Fault),
) -> Vec<Token> {
    let length = i64::from(arrays.lengths[sequence as usize]);
    if length < 0 {
        report(Fault::Length);
    }
    let confirmed = confirmed_tokens(problem, arrays, sequence, kv_head, length, report);
    if rows == 0 {
        return Vec::new();
    }

    let mut tokens = Vec::new();
    for named in confirmed {
        match named {
            Named::Position(position) if !(0..length).contains(&position) => report(Fault::Position),
            Named::Position(position) => match look_up(problem, arrays, sequence, position) {
                Ok((page, slot)) => tokens.push(Token { page, slot, own_row: None }),
                Err(fault) => report(fault),
            },
            Named::Slot(slot) => {
                let page_size = i64::from(problem.kv.page_size);
                if (0..i64::from(problem.kv.pages) * page_size).contains(&slot) {
                    let (page, slot) = ((slot / page_size) as u32, (slot % page_size) as u32);
                    tokens.push(Token { page, slot, own_row: None });
                } else {
                    report(Fault::Page);
                }
            }
        }
    }
    // Where the length is negative nobody knows where the step's own rows stand.
    for row in (0..rows).filter(|_| length >= 0) {
        match look_up(problem, arrays, sequence, length + i64::from(row)) {
            Ok((page, slot)) => tokens.push(Token { page, slot, own_row: Some(row) }),
            Err(fault) => report(fault),
        }
    }
    tokens
}

/// How a confirmed token is named.
enum Named {
    Position(i64),
    Slot(i64),
}

/// The confirmed tokens that are asked for, whether they can be read or not; none that lies behind the block table where no entries list
/// them, since a length may be anything.
fn confirmed_tokens(
    problem: &AttentionProblem,
    arrays: &AttentionArrays<'_>,
    sequence: u32,
    kv_head: u32,
    length: i64,
    report: &mut impl FnMut(Fault),
) -> Vec<Named> {
    let room = i64::from(problem.table_tokens());
    // Where the length exceeds the table, the step's own rows report it.
    let all_but = |skipped: Range<i64>| {
        let positions = (0..length.min(room)).filter(|position| !skipped.contains(position));
        positions.map(Named::Position).collect()
    };
    let sets = match problem.confirmed {
        Confirmed::Everything => return all_but(0..0),
        Confirmed::Window { sinks, recent } => return all_but(sinks.into()..length - i64::from(recent)),
        Confirmed::Sets(sets) => sets,
    };
    let (sequence, kv_head) = (sequence as usize, if sets.per_kv_head { kv_head as usize } else { 0 });
    let size = arrays.set_sizes[sequence * problem.sets_per_sequence() as usize + kv_head];
    if size == EVERYTHING {
        return all_but(0..0);
    }
    let clamped = i64::from(size).clamp(0, sets.capacity.into());
    if i64::from(size) != clamped {
        report(Fault::SetSize);
    }
    let first = sequence * arrays.strides.set as usize + kv_head * arrays.strides.set_head as usize;
    (0..clamped as u32)
        .filter(|_| length >= 0)
        .map(|index| named(&sets, arrays.set[first + (index / sets.block) as usize], index))
        .collect()
}

/// Token `index` of a set, of the entry `entry`.
fn named(sets: &Sets, entry: i32, index: u32) -> Named {
    let block = i64::from(sets.block);
    let token = i64::from(entry) * block + i64::from(index) % block;
    match sets.entries {
        Entries::Positions => Named::Position(token),
        Entries::Slots => Named::Slot(token),
    }
}

/// The page of a position, and its slot there.
fn look_up(
    problem: &AttentionProblem,
    arrays: &AttentionArrays<'_>,
    sequence: u32,
    position: i64,
) -> Result<(u32, u32), Fault> {
    let page_size = i64::from(problem.kv.page_size);
    let (page_index, slot) = (position / page_size, position % page_size);
    if page_index >= i64::from(problem.table_width) {
        return Err(Fault::Length);
    }
    let page = arrays.block_table[sequence as usize * arrays.strides.table as usize + page_index as usize];
    if page < 0 || i64::from(page) >= i64::from(problem.kv.pages) {
        return Err(Fault::Page);
    }
    Ok((page as u32, slot as u32))
}

/// Attention of query head `head` of batch row `batch_row` over the tokens that it sees.
fn attend(
    problem: &AttentionProblem,
    arrays: &AttentionArrays<'_>,
    batch_row: u32,
    head: u32,
    seen: &[&Token],
) -> HeadResult {
    let dim = problem.kv.head_dim as usize;
    let kv_head = head / problem.group();
    let value_of = |bits: u16| f64::from(decode(problem.dtype, bits));
    let query_at =
        u64::from(batch_row) * arrays.strides.query_row + u64::from(head) * arrays.strides.query_head;
    let query = &arrays.query[query_at as usize..][..dim];

    let seen: Vec<(usize, f64)> = seen
        .iter()
        .map(|token| {
            let at = problem.kv.offset(token.page, token.slot, kv_head) as usize;
            let key = &arrays.key[at..][..dim];
            let product: f64 = query.iter().zip(key).map(|(&q, &k)| value_of(q) * value_of(k)).sum();
            (at, f64::from(arrays.scale) * product)
        })
        .collect();
    let mut result = HeadResult { output: vec![0.0; dim], magnitude: vec![0.0; dim], lse: f64::NEG_INFINITY };
    if seen.is_empty() {
        return result;
    }
    let maximum = seen.iter().map(|&(_, logit)| logit).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = seen.iter().map(|&(_, logit)| (logit - maximum).exp()).sum();
    for &(at, logit) in &seen {
        let probability = (logit - maximum).exp() / sum;
        for (i, &bits) in arrays.value[at..][..dim].iter().enumerate() {
            result.output[i] += probability * value_of(bits);
            result.magnitude[i] += probability * value_of(bits).abs();
        }
    }
    result.lse = maximum + sum.ln();
    result
}

#[cfg(test)]
mod tests;
