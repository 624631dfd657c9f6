use super::*;
use crate::select::{
    arrays::SelectStrides,
    problem::{Maps, SlotTable},
};

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;

/// A draft's and a target's map of one sequence, with poison before and behind.
struct Tiny {
    problem: SelectProblem,
    draft: Vec<f32>,
    target: Vec<f32>,
    map_starts: Vec<i32>,
    lengths: Vec<i32>,
    target_slots: Option<Vec<i32>>,
    block_table: Vec<i32>,
}

impl Tiny {
    fn new(budget: u32, draft: &[f32], target: &[f32]) -> Self {
        let maps = match (draft.is_empty(), target.is_empty()) {
            (true, _) => Maps::Target,
            (_, true) => Maps::Draft,
            _ => Maps::Both,
        };
        let length = draft.len().max(target.len()) as i32;
        let poisoned = |map: &[f32]| [&[INF, INF], map, &[INF]].concat();
        Self {
            problem: SelectProblem { maps, ..SelectProblem::plain(1, length as u32 + 3, budget) },
            draft: poisoned(draft),
            target: poisoned(target),
            map_starts: vec![2, 2 + length],
            lengths: vec![length],
            target_slots: None,
            block_table: vec![2, 0, 3],
        }
    }

    fn target(budget: u32, target: &[f32]) -> Self {
        Self::new(budget, &[], target)
    }

    /// With physical slots in four pages of two.
    fn looked_up(mut self) -> Self {
        self.problem.table = Some(SlotTable { pages: 4, page_size: 2, table_width: 3 });
        self
    }

    /// With the slot that the target's map was scored from, of three.
    fn scored_from(&mut self, slot: i32) {
        self.problem.slots = Some(3);
        self.target_slots = Some(vec![slot]);
    }

    fn run(&self) -> Reference {
        let maps = self.problem.maps;
        let arrays = SelectArrays {
            draft: maps.draft().then_some(&self.draft),
            target: maps.target().then_some(&self.target),
            map_starts: &self.map_starts,
            lengths: &self.lengths,
            target_slots: self.target_slots.as_deref(),
            block_table: self.problem.table.is_some().then_some(&self.block_table),
            strides: SelectStrides::dense(&self.problem),
        };
        select(&self.problem, &arrays).unwrap()
    }

    /// The set of a sequence with nothing to report.
    fn positions(&self) -> Vec<i32> {
        let reference = self.run();
        assert_eq!(reference.status, 0);
        match reference.sets.into_iter().next() {
            Some(Selection::Set { positions, .. }) => positions,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_best_positions_are_taken_in_ascending_order() {
    assert_eq!(Tiny::target(3, &[0.1, 0.5, 0.2, 0.4, 0.3]).positions(), [1, 3, 4]);
}

#[test]
fn ties_go_to_the_lower_position() {
    assert_eq!(Tiny::target(2, &[0.5, 0.7, 0.5, 0.5]).positions(), [0, 1]);
    assert_eq!(Tiny::target(2, &[0.0; 5]).positions(), [0, 1]);
}

#[test]
fn minus_zero_equals_plus_zero() {
    assert_eq!(Tiny::target(2, &[-0.0, 0.0, -0.0]).positions(), [0, 1]);
    assert_eq!(Tiny::target(1, &[-1e-45, -0.0, 0.0]).positions(), [1]);
}

#[test]
fn denormals_count() {
    let least = f32::from_bits(1);
    assert_eq!(Tiny::target(2, &[0.0, least, f32::from_bits(2), -least]).positions(), [1, 2]);
}

#[test]
fn infinity_is_above_all_numbers_and_nan_below_all() {
    let map = [NAN, -INF, f32::MAX, INF, -NAN, f32::MIN];
    let expected: [&[i32]; 5] = [&[3], &[2, 3], &[2, 3, 5], &[1, 2, 3, 5], &[0, 1, 2, 3, 5]];
    for (budget, expected) in (1..).zip(expected) {
        assert_eq!(Tiny::target(budget, &map).positions(), expected);
    }
}

#[test]
fn a_quota_takes_nan_only_when_nothing_else_is_left_of_the_drafts_map() {
    let draft = [NAN, NAN, 0.1, NAN, NAN];
    let target = [0.1, 0.2, 0.9, NAN, 0.8];
    let mut tiny = Tiny::new(3, &draft, &target);
    let expected: [&[i32]; 4] = [&[1, 2, 4], &[1, 2, 4], &[0, 2, 4], &[0, 1, 2]];
    for (quota, expected) in (0..).zip(expected) {
        tiny.problem.quota = quota;
        assert_eq!(tiny.positions(), expected, "m = {quota}");
    }
}

#[test]
fn a_sequence_no_longer_than_the_budget_is_taken_whole() {
    assert_eq!(Tiny::target(3, &[0.3, NAN, 0.1]).positions(), [0, 1, 2]);
    assert_eq!(Tiny::target(4, &[0.3]).positions(), [0]);
    assert_eq!(Tiny::target(2, &[0.3, NAN, 0.1]).positions(), [0, 2]);
}

#[test]
fn a_sequence_of_length_zero_selects_nothing() {
    let mut tiny = Tiny::target(3, &[0.3; 5]);
    tiny.lengths = vec![0];
    assert_eq!(tiny.positions(), [0; 0]);
    // Not even its part of the maps is looked at.
    tiny.map_starts = vec![5, -1];
    assert_eq!(tiny.positions(), [0; 0]);
}

#[test]
fn sinks_and_recent_positions_come_first() {
    let map = [0.0, 0.9, 0.8, 0.7, 0.6, 0.0];
    let mut tiny = Tiny::target(4, &map);
    (tiny.problem.sinks, tiny.problem.recent) = (1, 2);
    assert_eq!(tiny.positions(), [0, 1, 4, 5]);
    (tiny.problem.sinks, tiny.problem.recent) = (1, 3);
    assert_eq!(tiny.positions(), [0, 3, 4, 5]);
}

#[test]
fn the_quota_comes_from_the_draft_and_the_rest_from_the_target() {
    let draft = [0.1, 0.9, 0.8, 0.0, 0.0, 0.0];
    let target = [0.5, 0.9, 0.0, 0.7, 0.0, 0.6];
    let mut tiny = Tiny::new(3, &draft, &target);
    let expected: [&[i32]; 4] = [&[1, 3, 5], &[1, 3, 5], &[1, 2, 3], &[0, 1, 2]];
    for (quota, expected) in (0..).zip(expected) {
        tiny.problem.quota = quota;
        assert_eq!(tiny.positions(), expected, "m = {quota}");
    }
}

#[test]
fn the_quota_is_capped_by_what_is_not_forced() {
    let draft = [0.0, 0.1, 0.3, 0.2, 0.0];
    let target = [0.0, 0.9, 0.0, 0.0, 0.0];
    let mut tiny = Tiny::new(3, &draft, &target);
    (tiny.problem.quota, tiny.problem.sinks, tiny.problem.recent) = (3, 1, 1);
    assert_eq!(tiny.positions(), [0, 2, 4]);
}

#[test]
fn a_draft_map_alone_gives_everything_that_is_not_forced_whatever_the_quota() {
    let mut tiny = Tiny::new(3, &[0.1, 0.9, 0.8, 0.5, 0.0], &[]);
    tiny.problem.sinks = 1;
    for quota in 0..=3 {
        tiny.problem.quota = quota;
        assert_eq!(tiny.positions(), [0, 1, 2]);
    }
}

#[test]
fn a_sequence_without_a_target_map_falls_back_to_the_draft() {
    let (draft, target) = ([0.1, 0.9, 0.8, 0.5, 0.0], [0.0, 0.0, 0.0, 0.9, 0.9]);
    let mut tiny = Tiny::new(3, &draft, &target);
    (tiny.problem.sinks, tiny.problem.quota) = (1, 1);
    tiny.scored_from(0);
    assert_eq!(tiny.positions(), [0, 1, 3]);
    tiny.scored_from(-1);
    assert_eq!(tiny.positions(), [0, 1, 2]);
}

#[test]
fn a_sequence_without_any_map_keeps_its_sinks_and_recent_positions() {
    let mut tiny = Tiny::target(4, &[0.9; 9]);
    (tiny.problem.sinks, tiny.problem.recent) = (1, 2);
    tiny.scored_from(i32::MIN);
    assert_eq!(tiny.positions(), [0, 7, 8]);
}

#[test]
fn a_sequence_without_a_target_map_gets_everything_if_the_problem_says_so() {
    let mut tiny = Tiny::new(2, &[0.5; 5], &[0.5; 5]);
    tiny.problem.without_target = Fallback::Everything;
    tiny.scored_from(-1);
    assert_eq!(tiny.run(), Reference { sets: vec![Selection::Everything], status: 0 });
    // Where the budget holds the whole sequence, a set is as good.
    tiny.problem.budget = 5;
    assert_eq!(tiny.positions(), [0, 1, 2, 3, 4]);
    tiny.problem.budget = 2;
    tiny.scored_from(0);
    assert_eq!(tiny.positions(), [0, 1]);
}

#[test]
fn a_slot_beyond_the_buffer_says_that_there_is_no_target_map_and_is_reported() {
    let (draft, target) = ([0.1, 0.9, 0.8, 0.5, 0.0], [0.0, 0.0, 0.0, 0.9, 0.9]);
    for (slot, without_target) in [(3, Fallback::Draft), (i32::MAX, Fallback::Everything)] {
        let mut tiny = Tiny::new(2, &draft, &target);
        tiny.problem.without_target = without_target;
        tiny.scored_from(slot);
        let reference = tiny.run();
        assert_eq!(Fault::parse(reference.status), Some((Fault::Slot, 0)));
        let expected = match without_target {
            Fallback::Draft => Selection::Set { positions: vec![1, 2], physical: None },
            Fallback::Everything => Selection::Everything,
        };
        assert_eq!(reference.sets, [expected]);
        tiny.scored_from(2);
        assert_eq!(tiny.positions(), [3, 4]);
        // Where the budget holds the whole sequence, no map is looked for.
        tiny.problem.budget = 5;
        tiny.scored_from(slot);
        assert_eq!(tiny.positions(), [0, 1, 2, 3, 4]);
    }
}

#[test]
fn a_sequence_up_to_the_threshold_gets_everything() {
    let mut tiny = Tiny::target(2, &[0.5; 5]);
    tiny.problem.everything = 5;
    assert_eq!(tiny.run(), Reference { sets: vec![Selection::Everything], status: 0 });
    tiny.problem.everything = 4;
    assert_eq!(tiny.positions(), [0, 1]);
    tiny.problem.everything = u32::MAX;
    tiny.lengths = vec![0];
    assert_eq!(tiny.positions(), [0; 0]);
}

#[test]
fn blocks_are_chosen_by_the_sum_of_their_scores_and_the_last_may_be_partial() {
    let map = [0.5, 0.0, 0.3, 0.3, 0.1, 0.1, 0.55];
    let mut tiny = Tiny::target(4, &map);
    tiny.problem.block = 2;
    assert_eq!(tiny.positions(), [2, 3, 6]);
    tiny.problem.budget = 6;
    assert_eq!(tiny.positions(), [0, 1, 2, 3, 6]);
}

#[test]
fn sums_of_blocks_are_fp32_in_ascending_position() {
    // 1e8 + 1 is 1e8 in fp32: the first block sums to 0, in another order to 1.
    let mut tiny = Tiny::target(3, &[1.0, 1e8, -1e8, 0.5, 0.0, 0.0]);
    tiny.problem.block = 3;
    assert_eq!(tiny.positions(), [3, 4, 5]);
}

#[test]
fn blocks_that_hold_a_sink_or_a_recent_position_are_taken_whole() {
    let mut tiny = Tiny::target(8, &[0.0, 0.0, 0.9, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0]);
    (tiny.problem.block, tiny.problem.sinks, tiny.problem.recent) = (2, 1, 2);
    assert_eq!(tiny.positions(), [0, 1, 2, 3, 6, 7, 8]);
}

#[test]
fn sinks_and_recent_positions_that_overlap_are_those_of_a_sequence_taken_whole() {
    let mut tiny = Tiny::target(6, &[0.1; 4]);
    (tiny.problem.sinks, tiny.problem.recent) = (3, 3);
    assert_eq!(tiny.positions(), [0, 1, 2, 3]);
}

#[test]
fn sinks_and_recent_positions_may_fill_the_budget() {
    let mut tiny = Tiny::target(8, &[0.0, 0.0, 0.0, 0.0, 0.5, 0.4, 0.0, 0.0, 0.0]);
    (tiny.problem.block, tiny.problem.sinks, tiny.problem.recent) = (4, 3, 1);
    assert_eq!(tiny.positions(), [0, 1, 2, 3, 8]);
    let mut tiny = Tiny::target(4, &[0.0, 0.1, 0.2, 0.3, 0.4]);
    (tiny.problem.sinks, tiny.problem.recent) = (2, 2);
    assert_eq!(tiny.positions(), [0, 1, 3, 4]);
}

#[test]
fn pooling_averages_over_a_window_with_zeros_outside() {
    // Averages over three: 0.2, 0.2, 0, 1/3, 1/3, 1/3.
    let mut tiny = Tiny::target(3, &[0.6, 0.0, 0.0, 0.0, 1.0, 0.0]);
    tiny.problem.pooling = 3;
    assert_eq!(tiny.positions(), [3, 4, 5]);
    // A window wider than the sequence: every score is that of all.
    tiny.problem.pooling = 63;
    assert_eq!(tiny.positions(), [0, 1, 2]);
}

#[test]
fn pooled_infinities_of_both_signs_are_nan() {
    let mut tiny = Tiny::target(1, &[INF, -INF, -INF, -INF]);
    tiny.problem.pooling = 3;
    assert_eq!(tiny.positions(), [2]);
}

#[test]
fn a_negative_length_selects_nothing_and_is_reported() {
    for length in [-1, i32::MIN] {
        let mut tiny = Tiny::target(2, &[0.5; 5]);
        tiny.problem.everything = 3;
        tiny.lengths = vec![length];
        let reference = tiny.run();
        assert_eq!(reference.sets[0].size(), 0);
        assert_eq!(Fault::parse(reference.status), Some((Fault::Length, 0)));
    }
}

#[test]
fn a_part_of_the_maps_that_does_not_hold_the_sequence_selects_nothing_and_is_reported() {
    for starts in [[2, 6], [7, 2], [-1, 7], [4, 9], [i32::MIN, i32::MAX], [i32::MAX, i32::MIN]] {
        for budget in [2, 5] {
            let mut tiny = Tiny::target(budget, &[0.5; 5]);
            tiny.map_starts = starts.to_vec();
            let reference = tiny.run();
            assert_eq!(reference.sets[0].size(), 0);
            assert_eq!(Fault::parse(reference.status), Some((Fault::Map, 0)), "{starts:?}");
        }
    }
    let mut tiny = Tiny::target(2, &[0.5; 5]);
    tiny.problem.everything = 5;
    tiny.map_starts = vec![9, 0];
    assert_eq!(tiny.run(), Reference { sets: vec![Selection::Everything], status: 0 });
}

#[test]
fn slots_are_those_of_the_block_table() {
    let tiny = Tiny::target(3, &[0.0, 0.1, 0.2, 0.3, 0.4]).looked_up();
    let reference = tiny.run();
    let (positions, physical) = (vec![2, 3, 4], Some(vec![0, 1, 6]));
    assert_eq!(reference, Reference { sets: vec![Selection::Set { positions, physical }], status: 0 });
}

#[test]
fn a_page_outside_the_cache_has_no_slot_and_is_reported() {
    for page in [4, -1, i32::MAX, i32::MIN] {
        let mut tiny = Tiny::target(3, &[0.0, 0.1, 0.2, 0.3, 0.4]).looked_up();
        tiny.block_table[1] = page;
        let reference = tiny.run();
        let (positions, physical) = (vec![2, 3, 4], Some(vec![-1, -1, 6]));
        assert_eq!(reference.sets, [Selection::Set { positions, physical }]);
        assert_eq!(Fault::parse(reference.status), Some((Fault::Page, 0)));
    }
}

#[test]
fn a_position_beyond_the_block_table_has_no_slot_and_is_reported() {
    let tiny = Tiny::target(2, &[0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.4]).looked_up();
    let reference = tiny.run();
    let (positions, physical) = (vec![5, 6], Some(vec![7, -1]));
    assert_eq!(reference.sets, [Selection::Set { positions, physical }]);
    assert_eq!(Fault::parse(reference.status), Some((Fault::Length, 0)));
}
