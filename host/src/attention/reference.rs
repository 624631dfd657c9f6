//! Attention in f64, written for clarity: it judges every back end.

use dustin_kernels::fault::Fault;

use crate::{
    attention::{arrays::AttentionArrays, problem::AttentionProblem},
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

/// A token that can be read: its page, its slot in it, and the first row of the sequence that sees it.
struct Token {
    page: u32,
    slot: u32,
    first_row: u32,
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
/// earlier sequence is skipped. Else its
/// set's size is clamped; if it has rows, a position outside the length, a position beyond the block table, a page
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
        let tokens = tokens_of(problem, arrays, sequence, rows, &mut report);
        for row in 0..rows {
            reference.owned[(first_row + row) as usize] = true;
            for head in 0..problem.query_heads {
                let result = attend(problem, arrays, first_row + row, row, head, &tokens);
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

/// The tokens of a sequence that can be read: those of its set, then its own rows.
fn tokens_of(
    problem: &AttentionProblem,
    arrays: &AttentionArrays<'_>,
    sequence: u32,
    rows: u32,
    report: &mut impl FnMut(Fault),
) -> Vec<Token> {
    let sequence = sequence as usize;
    let length = i64::from(arrays.lengths[sequence]);
    if length < 0 {
        report(Fault::Length);
    }
    let size = i64::from(arrays.set_sizes[sequence]);
    let clamped = size.clamp(0, problem.set_capacity.into());
    if size != clamped {
        report(Fault::SetSize);
    }
    if rows == 0 {
        return Vec::new();
    }

    let mut tokens = Vec::new();
    let mut look_up = |position: i64, first_row: u32, report: &mut dyn FnMut(Fault)| {
        let (page_index, slot) =
            (position / i64::from(problem.kv.page_size), position % i64::from(problem.kv.page_size));
        if page_index >= i64::from(problem.table_width) {
            return report(Fault::Length);
        }
        let page = arrays.block_table[sequence * arrays.strides.table as usize + page_index as usize];
        if page < 0 || i64::from(page) >= i64::from(problem.kv.pages) {
            return report(Fault::Page);
        }
        tokens.push(Token { page: page as u32, slot: slot as u32, first_row });
    };
    let set = &arrays.set[sequence * arrays.strides.set as usize..];
    for &position in &set[..clamped as usize] {
        if (0..length).contains(&i64::from(position)) {
            look_up(position.into(), 0, report);
        } else {
            report(Fault::Position);
        }
    }
    // Where the length is negative nobody knows where the step's own rows stand.
    for row in (0..rows).filter(|_| length >= 0) {
        look_up(length + i64::from(row), row, report);
    }
    tokens
}

/// Attention of query head `head` of batch row `batch_row`, the sequence's row `row`.
fn attend(
    problem: &AttentionProblem,
    arrays: &AttentionArrays<'_>,
    batch_row: u32,
    row: u32,
    head: u32,
    tokens: &[Token],
) -> HeadResult {
    let dim = problem.kv.head_dim as usize;
    let kv_head = head / problem.group();
    let value_of = |bits: u16| f64::from(decode(problem.dtype, bits));
    let query_at =
        u64::from(batch_row) * arrays.strides.query_row + u64::from(head) * arrays.strides.query_head;
    let query = &arrays.query[query_at as usize..][..dim];

    let seen: Vec<(usize, f64)> = tokens
        .iter()
        .filter(|token| token.first_row <= row)
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
