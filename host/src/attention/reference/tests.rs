use dustin_kernels::registry::Dtype;

use super::*;
use crate::{
    attention::arrays::AttentionStrides,
    element::encode,
    kv::{KvLayout, PagedKv},
};

const DIM: usize = 64;

/// One sequence of three cached tokens and `rows` own rows in pages of two, two query heads; the first item of the key of
/// token `t` is t (so that a query of ones and a scale of ln 2 weigh it by 2^t), that of its value t + 1, in a second KV
/// head twice as much; all others are zero.
struct Tiny {
    problem: AttentionProblem,
    query: Vec<u16>,
    key: Vec<u16>,
    value: Vec<u16>,
    block_table: Vec<i32>,
    lengths: Vec<i32>,
    row_starts: Vec<i32>,
    set: Vec<i32>,
    set_sizes: Vec<i32>,
    masks: Vec<u64>,
}

impl Tiny {
    /// One KV head for both query heads.
    fn new(rows: u32, set: &[i32]) -> Self {
        Self::with_kv_heads(1, rows, set)
    }

    fn with_kv_heads(kv_heads: u32, rows: u32, set: &[i32]) -> Self {
        let kv = PagedKv::dense(KvLayout::Nhd, 4, 2, kv_heads, DIM as u32);
        let problem = AttentionProblem {
            batch: 1,
            rows,
            total_rows: rows,
            confirmed: Confirmed::Sets(Sets::of_positions(4)),
            query_heads: 2,
            kv,
            table_width: 3,
            dtype: Dtype::F16,
            mask: Mask::Causal,
            lse: true,
            batch_invariant: false,
        };
        let block_table = vec![2, 0, 3];
        let mut key = vec![0x7fff; kv.extent() as usize];
        let mut value = key.clone();
        for (token, kv_head) in (0..3 + rows).flat_map(|token| (0..kv_heads).map(move |head| (token, head))) {
            let at = kv.offset(block_table[token as usize / 2] as u32, token % 2, kv_head) as usize;
            key[at..at + DIM].fill(0);
            value[at..at + DIM].fill(0);
            key[at] = encode(Dtype::F16, token as f32);
            value[at] = encode(Dtype::F16, ((token + 1) * (kv_head + 1)) as f32);
        }
        let mut set = set.to_vec();
        let set_sizes = vec![set.len() as i32];
        set.resize(4, i32::MAX);
        let mut query = vec![0; rows as usize * 2 * DIM];
        for head in query.chunks_mut(DIM) {
            head[0] = encode(Dtype::F16, 1.0);
        }
        Self {
            problem,
            query,
            key,
            value,
            block_table,
            lengths: vec![3],
            row_starts: vec![0, rows as i32],
            set,
            set_sizes,
            masks: Vec::new(),
        }
    }

    fn arrays(&self) -> AttentionArrays<'_> {
        AttentionArrays {
            query: &self.query,
            key: &self.key,
            value: &self.value,
            block_table: &self.block_table,
            lengths: &self.lengths,
            row_starts: &self.row_starts,
            set: &self.set,
            set_sizes: &self.set_sizes,
            masks: &self.masks,
            scale: std::f32::consts::LN_2,
            strides: AttentionStrides::dense(&self.problem),
        }
    }

    fn run(&self) -> Reference {
        attention(&self.problem, &self.arrays()).unwrap()
    }

    /// The first item of the output of `row`, which both query heads share, and its log-sum-exp.
    fn row(reference: &Reference, row: usize) -> (f64, f64) {
        let item = |head: usize| reference.output[(row * 2 + head) * DIM];
        assert_eq!(item(0), item(1));
        assert!(reference.output[row * 2 * DIM + 1..(row * 2 + 1) * DIM].iter().all(|&x| x == 0.0));
        (item(0), reference.lse[row * 2])
    }
}

fn near(actual: f64, expected: f64) {
    assert!((actual - expected).abs() < 1e-6, "{actual} is not {expected}");
}

#[test]
fn a_row_sees_the_set_and_itself_weighted_by_powers_of_two() {
    // Tokens 0, 2 and the own row at 3 weigh 1, 4 and 8; their values are 1, 3 and 4.
    let reference = Tiny::new(1, &[2, 0]).run();
    let (output, lse) = Tiny::row(&reference, 0);
    near(output, (1.0 + 4.0 * 3.0 + 8.0 * 4.0) / 13.0);
    near(lse, 13f64.ln());
    assert_eq!(reference.status, 0);
}

#[test]
fn a_later_row_sees_the_earlier_own_rows_but_not_the_other_way_round() {
    let reference = Tiny::new(2, &[1]).run();
    near(Tiny::row(&reference, 0).0, (2.0 * 2.0 + 8.0 * 4.0) / 10.0);
    near(Tiny::row(&reference, 1).0, (2.0 * 2.0 + 8.0 * 4.0 + 16.0 * 5.0) / 26.0);
}

#[test]
fn a_query_head_reads_the_kv_head_of_its_group() {
    let mut tiny = Tiny::new(1, &[0]);
    tiny.query[DIM..].fill(0);
    let reference = tiny.run();
    near(reference.output[0], (1.0 + 8.0 * 4.0) / 9.0);
    near(reference.output[DIM], (1.0 + 4.0) / 2.0);
    near(reference.lse[1], 2f64.ln());
}

#[test]
fn magnitude_sums_absolute_values() {
    let mut tiny = Tiny::new(1, &[0]);
    let at = tiny.problem.kv.offset(2, 0, 0) as usize;
    tiny.value[at] = encode(Dtype::F16, -1.0);
    let reference = tiny.run();
    near(reference.output[0], (-1.0 + 8.0 * 4.0) / 9.0);
    near(reference.magnitude[0], (1.0 + 8.0 * 4.0) / 9.0);
}

#[test]
fn positions_outside_the_length_are_masked_and_reported() {
    for position in [3, -1, i32::MAX, i32::MIN] {
        let reference = Tiny::new(1, &[0, position]).run();
        near(Tiny::row(&reference, 0).0, (1.0 + 8.0 * 4.0) / 9.0);
        assert_eq!(Fault::parse(reference.status), Some((Fault::Position, 0)));
    }
}

#[test]
fn pages_outside_the_cache_are_masked_and_reported() {
    for page in [4, -1, i32::MAX] {
        let mut tiny = Tiny::new(1, &[0, 2]);
        tiny.block_table[0] = page;
        let reference = tiny.run();
        near(Tiny::row(&reference, 0).0, (4.0 * 3.0 + 8.0 * 4.0) / 12.0);
        assert_eq!(Fault::parse(reference.status), Some((Fault::Page, 0)));
    }
}

#[test]
fn a_length_beyond_the_table_masks_what_the_table_does_not_hold() {
    let mut tiny = Tiny::new(1, &[0, 6]);
    tiny.lengths[0] = 100;
    let reference = tiny.run();
    let (output, lse) = Tiny::row(&reference, 0);
    near(output, 1.0);
    near(lse, 0.0);
    assert_eq!(Fault::parse(reference.status), Some((Fault::Length, 0)));
}

#[test]
fn a_negative_length_masks_every_token() {
    let mut tiny = Tiny::new(1, &[0]);
    tiny.lengths[0] = -5;
    let reference = tiny.run();
    let (output, lse) = Tiny::row(&reference, 0);
    near(output, 0.0);
    assert_eq!(lse, f64::NEG_INFINITY);
    assert_eq!(Fault::parse(reference.status), Some((Fault::Length, 0)));
}

#[test]
fn a_set_size_out_of_range_is_clamped() {
    let mut tiny = Tiny::new(1, &[0]);
    tiny.set_sizes[0] = -2;
    let reference = tiny.run();
    near(Tiny::row(&reference, 0).0, 4.0);
    assert_eq!(Fault::parse(reference.status), Some((Fault::SetSize, 0)));

    tiny.set = vec![0, 1, 2, 0];
    tiny.set_sizes[0] = 5;
    let reference = tiny.run();
    near(Tiny::row(&reference, 0).0, (1.0 + 2.0 * 2.0 + 4.0 * 3.0 + 1.0 + 8.0 * 4.0) / 16.0);
    assert_eq!(Fault::parse(reference.status), Some((Fault::SetSize, 0)));
}

#[test]
fn rows_out_of_range_are_skipped() {
    for starts in [[0, -1], [1, 0], [0, 3], [-1, 0], [i32::MIN, i32::MAX]] {
        let mut tiny = Tiny::new(1, &[0]);
        tiny.row_starts = starts.to_vec();
        let reference = tiny.run();
        assert_eq!(reference.owned, [false]);
        assert_eq!(Fault::parse(reference.status), Some((Fault::Rows, 0)));
    }
}

#[test]
fn a_sequence_without_rows_is_silent_about_its_positions() {
    let mut tiny = Tiny::new(1, &[-1]);
    tiny.row_starts = vec![0, 0];
    assert_eq!(tiny.run().status, 0);
}

#[test]
fn a_row_that_sees_nothing_is_zero_with_an_lse_of_negative_infinity() {
    let mut tiny = Tiny::new(1, &[]);
    tiny.block_table[1] = -1;
    let reference = tiny.run();
    assert_eq!(Tiny::row(&reference, 0), (0.0, f64::NEG_INFINITY));
    assert!(reference.owned[0]);
}

#[test]
fn arrays_that_are_too_short_are_refused_by_name() {
    let tiny = Tiny::new(1, &[0]);
    let field = |change: fn(&mut AttentionArrays<'_>)| {
        let mut arrays = tiny.arrays();
        change(&mut arrays);
        attention(&tiny.problem, &arrays).unwrap_err().field
    };
    assert_eq!(field(|a| a.query = &a.query[1..]), "query");
    assert_eq!(field(|a| a.key = &a.key[1..]), "key");
    assert_eq!(field(|a| a.value = &a.value[1..]), "value");
    assert_eq!(field(|a| a.block_table = &a.block_table[1..]), "block_table");
    assert_eq!(field(|a| a.lengths = &[]), "lengths");
    assert_eq!(field(|a| a.row_starts = &a.row_starts[1..]), "row_starts");
    assert_eq!(field(|a| a.set = &a.set[1..]), "set");
    assert_eq!(field(|a| a.set_sizes = &[]), "set_sizes");
    assert_eq!(field(|a| a.scale = f32::INFINITY), "scale");
    assert_eq!(field(|a| a.strides.query_head = 1 << 40), "query");
}

#[test]
fn a_trees_row_sees_the_rows_that_its_mask_names() {
    // The sequence's own two rows are the batch's rows 1 and 2; a mask counts from the sequence's first.
    let mut tiny = Tiny::new(3, &[1]);
    tiny.problem.mask = Mask::Tree;
    tiny.row_starts = vec![1, 3];
    tiny.masks = vec![0, 0b11, 0b10 | 1 << 63];
    let reference = tiny.run();
    near(Tiny::row(&reference, 1).0, (2.0 * 2.0 + 8.0 * 4.0 + 16.0 * 5.0) / 26.0);
    near(Tiny::row(&reference, 2).0, (2.0 * 2.0 + 16.0 * 5.0) / 18.0);
    assert_eq!((reference.owned, reference.status), (vec![false, true, true], 0));
}

#[test]
fn everything_in_place_of_a_set_reads_what_no_entry_lists() {
    // More than the capacity, too.
    let mut tiny = Tiny::new(1, &[]);
    tiny.problem.confirmed = Confirmed::Sets(Sets::of_positions(1));
    tiny.set_sizes[0] = EVERYTHING;
    let reference = tiny.run();
    let (output, lse) = Tiny::row(&reference, 0);
    near(output, (1.0 + 2.0 * 2.0 + 4.0 * 3.0 + 8.0 * 4.0) / 15.0);
    near(lse, 15f64.ln());
    assert_eq!(reference.status, 0);
}

#[test]
fn a_window_reads_sinks_and_recent_tokens_once_each_where_they_meet() {
    let own = (8.0, 8.0 * 4.0);
    for (sinks, recent, weight, sum) in [
        (0, 0, 0.0, 0.0),
        (1, 0, 1.0, 1.0),
        (0, 1, 4.0, 4.0 * 3.0),
        (1, 1, 5.0, 1.0 + 4.0 * 3.0),
        (1, 2, 7.0, 1.0 + 2.0 * 2.0 + 4.0 * 3.0),
        (2, 2, 7.0, 1.0 + 2.0 * 2.0 + 4.0 * 3.0),
        (0, 9, 7.0, 1.0 + 2.0 * 2.0 + 4.0 * 3.0),
        (9, 9, 7.0, 1.0 + 2.0 * 2.0 + 4.0 * 3.0),
    ] {
        let mut tiny = Tiny::new(1, &[]);
        tiny.problem.confirmed = Confirmed::Window { sinks, recent };
        let reference = tiny.run();
        let (output, lse) = Tiny::row(&reference, 0);
        near(output, (sum + own.1) / (weight + own.0));
        near(lse, (weight + own.0).ln());
        assert_eq!(reference.status, 0);
    }
}

#[test]
fn an_entry_stands_for_its_block_and_the_last_one_in_part() {
    for (block, set, size, weight, sum) in [
        (2, [0, 1], 3, 7.0, 1.0 + 2.0 * 2.0 + 4.0 * 3.0),
        (2, [0, i32::MAX], 2, 3.0, 1.0 + 2.0 * 2.0),
        (2, [0, i32::MAX], 1, 1.0, 1.0),
        (2, [1, i32::MAX], 1, 4.0, 4.0 * 3.0),
        (4, [0, i32::MAX], 3, 7.0, 1.0 + 2.0 * 2.0 + 4.0 * 3.0),
    ] {
        let mut tiny = Tiny::new(1, &set);
        tiny.problem.confirmed = Confirmed::Sets(Sets { block, ..Sets::of_positions(4) });
        tiny.set_sizes[0] = size;
        let reference = tiny.run();
        let (output, lse) = Tiny::row(&reference, 0);
        near(output, (sum + 8.0 * 4.0) / (weight + 8.0));
        near(lse, (weight + 8.0_f64).ln());
        assert_eq!(reference.status, 0);
    }

    // The rest of the last block lies outside the length.
    let mut tiny = Tiny::new(1, &[1]);
    tiny.problem.confirmed = Confirmed::Sets(Sets { block: 2, ..Sets::of_positions(4) });
    tiny.set_sizes[0] = 2;
    let reference = tiny.run();
    near(Tiny::row(&reference, 0).0, (4.0 * 3.0 + 8.0 * 4.0) / 12.0);
    assert_eq!(Fault::parse(reference.status), Some((Fault::Position, 0)));
}

#[test]
fn a_slot_is_read_wherever_it_points_and_one_outside_the_cache_is_reported_as_page() {
    let of_slots = |block, set: &[i32]| {
        let mut tiny = Tiny::new(1, set);
        let sets = Sets { block, entries: Entries::Slots, ..Sets::of_positions(4) };
        tiny.problem.confirmed = Confirmed::Sets(sets);
        // Slots are read without the table: here it lacks the page of tokens 0 and 1.
        tiny.block_table[0] = -1;
        tiny
    };
    // Page 1 stands in no table; token 1 lies in slot 5, token 2 in slot 0.
    let mut tiny = of_slots(1, &[3, 5, 0]);
    let at = tiny.problem.kv.offset(1, 1, 0) as usize;
    tiny.key[at..at + DIM].fill(0);
    tiny.value[at..at + DIM].fill(0);
    tiny.value[at] = encode(Dtype::F16, 100.0);
    let reference = tiny.run();
    near(Tiny::row(&reference, 0).0, (100.0 + 2.0 * 2.0 + 4.0 * 3.0 + 8.0 * 4.0) / 15.0);
    assert_eq!(reference.status, 0);

    // A block of two slots from slot 4 on: tokens 0 and 1.
    let mut tiny = of_slots(2, &[2]);
    tiny.set_sizes[0] = 2;
    let reference = tiny.run();
    near(Tiny::row(&reference, 0).0, (1.0 + 2.0 * 2.0 + 8.0 * 4.0) / 11.0);
    assert_eq!(reference.status, 0);

    for outside in [8, -1, i32::MAX, i32::MIN] {
        let reference = of_slots(1, &[outside, 4]).run();
        near(Tiny::row(&reference, 0).0, (1.0 + 8.0 * 4.0) / 9.0);
        assert_eq!(Fault::parse(reference.status), Some((Fault::Page, 0)));
    }
}

#[test]
fn each_kv_head_reads_its_own_set() {
    let mut tiny = Tiny::with_kv_heads(2, 1, &[]);
    tiny.problem.confirmed = Confirmed::Sets(Sets { per_kv_head: true, ..Sets::of_positions(4) });
    let unread = i32::MAX;
    tiny.set = vec![0, unread, unread, unread, 1, 2, unread, unread];
    tiny.set_sizes = vec![1, 2];
    let reference = tiny.run();
    near(reference.output[0], (1.0 + 8.0 * 4.0) / 9.0);
    near(reference.output[DIM], 2.0 * (2.0 * 2.0 + 4.0 * 3.0 + 8.0 * 4.0) / 14.0);
    assert_eq!(reference.status, 0);

    // One for both, of the first entries.
    tiny.problem.confirmed = Confirmed::Sets(Sets::of_positions(4));
    let reference = tiny.run();
    near(reference.output[0], (1.0 + 8.0 * 4.0) / 9.0);
    near(reference.output[DIM], 2.0 * (1.0 + 8.0 * 4.0) / 9.0);
}
