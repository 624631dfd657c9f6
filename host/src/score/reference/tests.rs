use dustin_kernels::registry::Dtype;

use super::*;
use crate::{
    element::encode,
    kv::{KvLayout, PagedKv},
    score::{
        arrays::ScoreStrides,
        problem::{CapturedHead, Source},
    },
};

const DIM: usize = 64;
const NAN: u16 = 0x7fff;

/// One sequence of three tokens in pages of two, 2 KV heads with a group of 2. The first item of the key of token `t` is
/// t for KV head 0 and -t for KV head 1; all others are zero. Queries of ones and a scale of ln 2 weigh it by 2^t or 2^-t.
struct Tiny {
    problem: ScoreProblem,
    query: Vec<u16>,
    key: Vec<u16>,
    slots: Option<Vec<i32>>,
    block_table: Vec<i32>,
    lengths: Vec<i32>,
    map_starts: Vec<i32>,
    map: Vec<f32>,
}

impl Tiny {
    fn new(heads: &[(u32, f32)]) -> Self {
        let kv = PagedKv::dense(KvLayout::Nhd, 4, 2, 2, DIM as u32);
        let source =
            Source { heads: heads.iter().map(|&(head, weight)| CapturedHead { head, weight }).collect() };
        let problem = ScoreProblem {
            batch: 1,
            map_capacity: 6,
            tokens: 1,
            slots: 2,
            query_heads: 4,
            kv,
            table_width: 2,
            dtype: Dtype::F16,
            sources: vec![source],
            accumulate: false,
        };
        let block_table = vec![2, 0];
        let mut key = vec![NAN; kv.extent() as usize];
        for token in 0..3 {
            for (head, sign) in [(0, 1.0), (1, -1.0)] {
                let at = kv.offset(block_table[token as usize / 2] as u32, token % 2, head) as usize;
                key[at..at + DIM].fill(0);
                key[at] = encode(Dtype::F16, sign * token as f32);
            }
        }
        let mut query = vec![NAN; 2 * heads.len() * DIM];
        for head in query[heads.len() * DIM..].chunks_mut(DIM) {
            head.fill(0);
            head[0] = encode(Dtype::F16, 1.0);
        }
        Self {
            problem,
            query,
            key,
            slots: Some(vec![1]),
            block_table,
            lengths: vec![3],
            map_starts: vec![1, 5],
            map: vec![f32::NAN; 6],
        }
    }

    fn run(&self) -> Reference {
        let source = SourceArrays { query: &self.query, key: &self.key };
        let arrays = ScoreArrays {
            sources: vec![source; self.problem.sources.len()],
            slots: self.slots.as_deref(),
            block_table: &self.block_table,
            lengths: &self.lengths,
            map_starts: &self.map_starts,
            scale: std::f32::consts::LN_2,
            strides: ScoreStrides::dense(&self.problem),
        };
        score(&self.problem, &arrays, &self.map).unwrap()
    }

    /// The part of the map that is written, where the rest is as it was and the status word is `fault`.
    fn scores(&self, fault: Option<Fault>) -> Vec<f64> {
        let reference = self.run();
        assert_eq!(Fault::parse(reference.status), fault.map(|fault| (fault, 0)));
        for (at, position) in reference.positions.iter().enumerate() {
            assert_eq!(*position == Position::Untouched, !reference.parts[0].contains(&at));
            assert_eq!(*position == Position::Untouched, reference.map[at].is_nan());
        }
        reference.map[reference.parts[0].clone()].to_vec()
    }
}

fn near(actual: &[f64], expected: &[f64]) {
    let near = actual.iter().zip(expected).all(|(a, e)| (a - e).abs() < 1e-6);
    assert!(near && actual.len() == expected.len(), "{actual:?} is not {expected:?}");
}

#[test]
fn heads_of_both_kv_heads_are_summed_with_their_weights() {
    near(&Tiny::new(&[(1, 1.0)]).scores(None), &[1.0 / 7.0, 2.0 / 7.0, 4.0 / 7.0]);
    near(&Tiny::new(&[(2, 1.0)]).scores(None), &[4.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0]);
    let both = Tiny::new(&[(0, 0.5), (3, 0.25)]);
    near(&both.scores(None), &[1.5 / 7.0, 1.5 / 7.0, 2.25 / 7.0]);
    near(&both.run().sums, &[0.75]);
}

#[test]
fn every_captured_token_has_the_weight_of_its_head() {
    let mut tiny = Tiny::new(&[(0, 0.5)]);
    tiny.problem.tokens = 2;
    let one = tiny.query[DIM..].to_vec();
    tiny.query = [vec![NAN; 2 * DIM], one, vec![0; DIM]].concat();
    near(&tiny.scores(None), &[0.5 / 7.0 + 0.5 / 3.0, 1.0 / 7.0 + 0.5 / 3.0, 2.0 / 7.0 + 0.5 / 3.0]);
    near(&tiny.run().sums, &[1.0]);
}

#[test]
fn sources_are_added_and_what_the_map_held_only_if_asked() {
    let mut tiny = Tiny::new(&[(0, 0.5)]);
    tiny.problem.sources.push(Source { heads: vec![CapturedHead { head: 2, weight: 0.5 }] });
    near(&tiny.scores(None), &[2.5 / 7.0, 2.0 / 7.0, 2.5 / 7.0]);
    tiny.map[1..4].copy_from_slice(&[10.0, 20.0, 30.0]);
    near(&tiny.scores(None), &[2.5 / 7.0, 2.0 / 7.0, 2.5 / 7.0]);
    tiny.problem.accumulate = true;
    near(&tiny.scores(None), &[10.0 + 2.5 / 7.0, 20.0 + 2.0 / 7.0, 30.0 + 2.5 / 7.0]);
}

#[test]
fn without_queries_the_part_is_zero_or_unchanged() {
    for (slot, fault) in [(-1, None), (i32::MIN, None), (2, Some(Fault::Slot)), (i32::MAX, Some(Fault::Slot))]
    {
        let mut tiny = Tiny::new(&[(0, 1.0)]);
        tiny.slots = Some(vec![slot]);
        // Pages are not looked at.
        tiny.block_table[0] = -1;
        assert_eq!(tiny.scores(fault), [0.0; 3]);
        assert_eq!(tiny.run().sums, [0.0]);
        assert!(tiny.run().positions[1..4].iter().all(|&position| position == Position::Masked));
        tiny.problem.accumulate = true;
        tiny.map[1..4].copy_from_slice(&[1.0, 2.0, 3.0]);
        assert_eq!(tiny.scores(fault), [1.0, 2.0, 3.0]);
    }
}

#[test]
fn no_slots_at_all_means_that_every_sequence_has_its_own() {
    let mut tiny = Tiny::new(&[(0, 1.0)]);
    tiny.slots = None;
    tiny.query.rotate_left(DIM);
    near(&tiny.scores(None), &[1.0 / 7.0, 2.0 / 7.0, 4.0 / 7.0]);
}

#[test]
fn a_sequence_whose_length_or_part_is_out_of_range_is_skipped() {
    for (length, starts, fault) in [
        (-1, [1, 5], Fault::Length),
        (i32::MIN, [5, 1], Fault::Length),
        (3, [5, 1], Fault::Map),
        (0, [5, 4], Fault::Map),
        (3, [1, 3], Fault::Map),
        (3, [-1, 5], Fault::Map),
        (3, [4, 7], Fault::Map),
        (3, [i32::MAX, i32::MIN], Fault::Map),
        (i32::MAX, [1, 5], Fault::Map),
    ] {
        let mut tiny = Tiny::new(&[(0, 1.0)]);
        tiny.lengths[0] = length;
        tiny.map_starts = starts.to_vec();
        tiny.slots = Some(vec![9]);
        assert!(tiny.scores(Some(fault)).is_empty());
    }
}

#[test]
fn a_part_that_overlaps_an_earlier_one_is_refused() {
    let mut tiny = Tiny::new(&[(0, 1.0)]);
    tiny.problem.batch = 3;
    tiny.slots = Some(vec![1; 3]);
    tiny.block_table = tiny.block_table.repeat(3);
    tiny.lengths = vec![3, 3, 2];
    tiny.map_starts = vec![1, 5, 2, 6];
    let reference = tiny.run();
    assert_eq!(Fault::parse(reference.status), Some((Fault::Map, 2)));
    assert_eq!(reference.parts, [1..4, 0..0, 0..0]);
}

#[test]
fn tokens_that_cannot_be_read_are_exactly_zero_and_leave_the_rest_a_distribution() {
    for page in [-1, 4, i32::MAX, i32::MIN] {
        let mut tiny = Tiny::new(&[(0, 1.0)]);
        tiny.block_table[1] = page;
        let scores = tiny.scores(Some(Fault::Page));
        near(&scores, &[1.0 / 3.0, 2.0 / 3.0, 0.0]);
        assert_eq!((scores[2], tiny.run().positions[3]), (0.0, Position::Masked));
    }
    let mut tiny = Tiny::new(&[(0, 1.0)]);
    tiny.problem.table_width = 1;
    near(&tiny.scores(Some(Fault::Length)), &[1.0 / 3.0, 2.0 / 3.0, 0.0]);
    tiny.slots = Some(vec![-1]);
    assert_eq!(tiny.scores(Some(Fault::Length)), [0.0; 3]);
}

#[test]
fn a_sequence_of_which_nothing_can_be_read_is_zero() {
    let mut tiny = Tiny::new(&[(0, 1.0)]);
    tiny.block_table = vec![-1; 2];
    assert_eq!(tiny.scores(Some(Fault::Page)), [0.0; 3]);
    assert_eq!(tiny.run().sums, [0.0]);
    tiny.lengths[0] = 0;
    assert!(tiny.scores(None).is_empty());
}
