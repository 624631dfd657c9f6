//! What a launch of the attention kernel is told.

use crate::simt::Global;

/// What small numbers are divided by, at the cost of a product.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Divisor {
    value: u32,
    /// 2^31 over the value, rounded up.
    reciprocal: u32,
}

impl Divisor {
    /// The divisor `value`, at least 1.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        let value = if value == 0 { 1 } else { value };
        Self { value, reciprocal: (1_u32 << 31).div_ceil(value) }
    }

    /// The divisor itself.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    #[must_use]
    pub const fn value(self) -> u32 {
        self.value
    }

    /// `number` divided by it, and what is left. Exact where the product of both is below 2^31.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    #[must_use]
    pub const fn divide(self, number: u32) -> (u32, u32) {
        let quotient = ((number as u64 * self.reciprocal as u64) >> 31) as u32;
        (quotient, number - quotient * self.value)
    }
}

/// In place of a set's size: the sequence's confirmed tokens are read without one.
pub const EVERYTHING: i32 = crate::select::params::EVERYTHING;

/// The arguments of one launch, in the order in which a block needs them: it loads them by the line. Strides count items of the array
/// they belong to (elements, not bytes).
///
/// What only the device knows (lengths, row counts, sets, tables) is checked on the device: anything out of range is
/// treated as masked and reported through [`Params::status`]. Tokens that are read must be finite: a NaN in the value of
/// one of the step's own rows reaches all of the sequence's rows, also those that must not see it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// First query row of each sequence and, last, the number of rows, `[batch + 1]`, ascending. What a row
    /// holds that two sequences have is not defined.
    pub row_starts: Global<i32>,
    /// Confirmed lengths, `[batch]`. A negative length masks all of the sequence's tokens.
    pub lengths: Global<i32>,
    /// Tokens of each set, `[batch, sets]`, or the flag [`EVERYTHING`]: the set's entries stand for as many. Null: [`EVERYTHING`] for all.
    pub set_sizes: Global<i32>,
    /// The entries of each verification set, in any order but that one which stands for fewer tokens than the others comes last: `[batch, sets, set_capacity >> set_shift]`, with one set for all of a
    /// sequence's KV heads or one for each. An entry stands for `1 << set_shift` tokens side by side: by its number times that for the
    /// first one's position, or for its [slot](Params::set_slots). Null where [`Params::set_sizes`] is.
    pub set: Global<i32>,
    /// Items from one sequence's sets to the next's.
    pub set_stride: u64,
    /// Items from one KV head's set to the next's; 0 where all have one.
    pub set_head_stride: u32,
    /// From one KV head's size to the next's: 1, or 0 where all have one.
    pub set_size_stride: u32,
    /// Sets of each sequence: 1, or one for each KV head.
    pub sets: u32,
    /// The most tokens that one set may have; 0 where there are no sets.
    pub set_capacity: u32,
    /// Chunks of query columns that one sequence's rows are divided into.
    pub chunks: Divisor,
    /// log2 of the tokens that an entry of a set stands for.
    pub set_shift: u32,
    /// 1 if entries count slots of the cache, `page · page_size + token of the page`, 0 if they count positions of the sequence.
    pub set_slots: u32,
    /// Query rows in the batch, the capacity of `query` and `output`.
    pub total_rows: u32,
    /// The most query rows that one sequence may have.
    pub row_capacity: u32,
    /// Query heads that share one KV head, 1 to 16.
    pub group: Divisor,
    /// Pages in one sequence's table.
    pub table_width: u32,
    /// log2 of the page size.
    pub page_shift: u32,
    /// Physical page numbers, `[batch, table_width]`.
    pub block_table: Global<i32>,
    /// Items from one sequence's table to the next.
    pub table_stride: u64,
    /// Pages in the cache.
    pub pages: u32,
    /// Places from one page to the next, in both caches.
    pub page_places: u32,
    /// Places from one token of a page to the next.
    pub token_places: u32,
    /// Bytes of a *place*: what divides the distances both of pages and of tokens; a multiple of 16. All places of a cache
    /// can be counted in 32 bits.
    pub place_bytes: u32,
    /// Key cache after rotary embedding, pages of `page_size` tokens, 16-bit items; `head_dim` contiguous.
    pub key: Global<u16>,
    /// Value cache, with the strides of the key cache.
    pub value: Global<u16>,
    /// Items from one KV head to the next; a multiple of 8.
    pub kv_head_stride: u64,
    /// Of a sequence that has [`EVERYTHING`], the first `sinks` and the last `recent` confirmed tokens are read.
    pub sinks: u32,
    /// See [`Params::sinks`].
    pub recent: u32,
    /// The sticky status word: see [`Fault::word`](crate::fault::Fault::word).
    pub status: Global<u64>,
    /// Which of the step's own rows each row sees, `[total_rows]`: bit `j` for the sequence's row `j`. Null: row `i` sees the
    /// rows up to `i`.
    pub masks: Global<u64>,
    /// Items from one output row to the next; a multiple of 8.
    pub output_row_stride: u64,
    /// Items from one output head to the next; a multiple of 8.
    pub output_head_stride: u64,
    /// Queries after rotary embedding, `[total_rows, query_heads, head_dim]`, 16-bit items; heads contiguous.
    pub query: Global<u16>,
    /// Items from one query row to the next; a multiple of 8.
    pub query_row_stride: u64,
    /// Items from one query head to the next; a multiple of 8.
    pub query_head_stride: u64,
    /// The softmax scale times log2(e), positive.
    pub scale_log2: f32,
    /// The unit of the log-sum-exp: ln(2) for base e, 1 for base 2.
    pub lse_unit: f32,
    /// Output, `[total_rows, query_heads, head_dim]`: 16-bit items, or fp32 where `output_f32` is set.
    pub output: Global<u16>,
    /// Log-sum-exp of each row and head, `[total_rows, query_heads]`, or null.
    pub lse: Global<f32>,
    /// Query heads.
    pub query_heads: u32,
    /// 1 if the output is fp32, else 0.
    pub output_f32: u32,
    /// Unnormalised outputs of the splits, `[splits, total_rows, query_heads, head_dim]`; null for one split.
    pub partial_output: Global<f32>,
    /// Maximum and sum of the splits, `[splits, total_rows, query_heads, 2]`; null for one split.
    pub partial_sums: Global<f32>,
    /// Splits that have finished, `[batch, kv_heads, chunks]`, zero between launches; null for one split.
    pub arrivals: Global<u32>,
}

#[cfg(test)]
mod tests {
    use super::Divisor;

    #[test]
    fn products_divide_exactly_as_long_as_documented() {
        for value in (1_u32..=64).chain([100, 1023, 1 << 15]) {
            let most = (1 << 31) / value - 1;
            let near = (0..=64).flat_map(|k| [k * value, (k * value).saturating_sub(1), most - k]);
            for number in near.filter(|&number| number <= most) {
                assert_eq!(
                    Divisor::new(value).divide(number),
                    (number / value, number % value),
                    "{number} / {value}"
                );
            }
        }
        assert_eq!(Divisor::new(0).divide(7), (7, 0));
    }
}
