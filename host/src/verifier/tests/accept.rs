use super::{plan::plan, role::Role, *};
use crate::{
    accept::{arrays::AcceptStrides, problem::Draft},
    cache::capture::problem::CaptureProblem,
};

const WORKSPACE: (u64, u64) = (0x1_0000, 1 << 40);

#[test]
fn acceptance_is_of_the_targets_vocabulary_and_of_trees_where_the_mask_is_one() {
    assert_eq!(Stages::new(&problem(1, 0)).unwrap().acceptance, None);
    let stages = Stages::new(&accepting(Mask::Causal)).unwrap();
    let acceptance = stages.acceptance.unwrap();
    assert_eq!((acceptance.batch, acceptance.rows, acceptance.total_rows), (16, 5, 80));
    assert_eq!((acceptance.vocabulary, acceptance.tree, acceptance.new_lengths), (152_064, false, true));
    let mut tree = accepting(Mask::Tree);
    tree.limits.rows = 20;
    let stages = Stages::new(&tree).unwrap();
    assert!(stages.acceptance.unwrap().tree);
    // Its paths are not cut short, whatever the depth of the tree, and say themselves where they end.
    assert_eq!((stages.compaction.accepted, stages.compaction.counted), (20, false));
    let sizes = Sizes::new(&stages);
    assert_eq!((sizes.accepted, sizes.emitted), (320, 320));
    assert_eq!((sizes.target_scores, sizes.draft_scores), (320 * 152_064, 64 * 152_064));
    let without = Sizes::new(&Stages::new(&problem(1, 0)).unwrap());
    assert_eq!((without.accepted, without.emitted, without.target_scores), (80, 0, 0));
}

#[test]
fn scores_that_do_not_reach_for_the_drafts_are_refused_by_name() {
    let mut few = accepting(Mask::Causal);
    few.acceptance.as_mut().unwrap().draft.as_mut().unwrap().rows = 63;
    assert_eq!(Stages::new(&few).unwrap_err().field, "draft.rows");
    let huge = |vocabulary| {
        let mut problem = accepting(Mask::Causal);
        let geometry = crate::geometry::Geometry { vocabulary, ..preset("Qwen2.5-72B").unwrap() };
        problem.target.share = ModelShare::whole(geometry);
        Stages::new(&problem)
    };
    assert_eq!(huge(1 << 28).unwrap_err().field, "vocabulary");
    // Ranks accept by scores of the whole vocabulary.
    let mut rank = problem(8, 3);
    rank.acceptance = accepting(Mask::Causal).acceptance;
    assert_eq!(Stages::new(&rank).unwrap().acceptance.unwrap().vocabulary, 152_064);
}

#[test]
fn each_captured_layer_has_a_capture_of_its_heads_into_the_models_array() {
    let whole = problem(1, 0);
    let stages = Stages::new(&whole).unwrap();
    let [target] = &stages.target_capture[..] else { panic!("one layer") };
    let expected = CaptureProblem {
        batch: 16,
        total_rows: 80,
        query_heads: 64,
        head_dim: 128,
        heads: vec![3, 17, 40, 63],
        slots: 20,
        tokens: 1,
    };
    assert_eq!(target, &expected);
    let [five, eleven] = &stages.draft_capture[..] else { panic!("two layers") };
    assert_eq!((&five.heads[..], &eleven.heads[..]), (&[0, 9][..], &[13][..]));
    assert_eq!((five.query_heads, five.head_dim, five.tokens), (14, 64, 4));

    let of = |role, layer| stages.capture_of(role, &whole, layer);
    assert_eq!(of(Role::Target, 40), Ok(Some(0)));
    assert_eq!(of(Role::Target, 41), Ok(None));
    assert_eq!(of(Role::Target, 80).unwrap_err().field, "layer");
    assert_eq!(of(Role::Draft, 11), Ok(Some(1)));
    assert_eq!(of(Role::Draft, 24).unwrap_err().field, "layer");
    // The heads are other ranks'.
    let rank = Stages::new(&problem(8, 1)).unwrap();
    assert_eq!((rank.target_capture.len(), rank.capture_of(Role::Target, &whole, 40)), (0, Ok(None)));
    let mut by_target = problem(1, 0);
    by_target.rules.m = 0;
    let unread = Stages::new(&by_target).unwrap().capture_of(Role::Draft, &by_target, 11).unwrap_err();
    assert!(unread.actual.starts_with("draft capture"), "{unread}");
}

#[test]
fn what_acceptance_writes_is_what_compaction_and_capture_read() {
    let plan = plan(&accepting(Mask::Causal), vec![]);
    let acceptance = plan.acceptance().unwrap();
    let own = AcceptanceBuffers {
        target: 0x1000,
        draft: 0x2000,
        draft_rows: 0,
        tokens: 0x3000,
        parents: 0,
        temperatures: 0x4000,
        seeds: 0x5000,
        step: 0x6000,
        accepted: 0x7000,
        emitted: 0x8000,
        path: 0x9000,
        last_rows: 0xa000,
        new_lengths: 0xb000,
        strides: AcceptStrides { path: 8, ..AcceptStrides::dense(acceptance.problem()) },
    };
    let step = StepBuffers {
        lengths: 0xc000,
        row_starts: 0xd000,
        block_table: 0xe000,
        table_stride: 3000,
        ..StepBuffers::default()
    };
    let buffers = plan.acceptance_buffers(&step, &own, WORKSPACE);
    assert_eq!((buffers.lengths, buffers.row_starts, buffers.new_lengths), (0xc000, 0xd000, 0xb000));
    assert_eq!((buffers.path, buffers.last_rows, buffers.step), (0x9000, 0xa000, 0x6000));
    acceptance.params(&buffers).unwrap();

    let compact = plan.compaction_buffers([0x500, 0x600], &step, &own.accepted(), WORKSPACE);
    assert_eq!((compact.accepted, compact.accepted_stride, compact.accepted_counts), (0x9000, 8, 0));
    plan.compaction().params(&compact).unwrap();

    let rows = CaptureRows {
        query: 0x100,
        query_row: 64 * 128,
        query_head: 128,
        total_rows: 80,
        row_starts: step.row_starts,
        rows: own.last_rows,
        slots: 0xf000,
    };
    let stages = plan.stages();
    let capture = rows.buffers(&stages.target_captured, (0, 0), 0x10_0000, WORKSPACE);
    assert_eq!((capture.captured, capture.rows, capture.slots), (0x10_0000, 0xa000, 0xf000));
    plan.target_capture()[0].params(&capture).unwrap();
    // Layer 11 of the draft, whose head lies behind the two of layer 5; forward 3.
    let rows = CaptureRows { query_row: 14 * 64, query_head: 64, rows: 0, ..rows };
    let capture = rows.buffers(&stages.draft_captured, (1, 3), 0x10_0000, WORKSPACE);
    assert_eq!((capture.captured, capture.token), (0x10_0000 + 2 * 128, 3));
    let params = plan.draft_capture()[1].params_of_rows(&capture, 16).unwrap();
    assert_eq!(params.captured.address(), 0x10_0000 + 2 * (128 + 3 * 192));
    assert_eq!(params.total_rows, 16);
    let beyond = rows.buffers(&stages.draft_captured, (1, 4), 0x10_0000, WORKSPACE);
    assert_eq!(plan.draft_capture()[1].params(&beyond).unwrap_err().field, "token");
}

#[test]
fn drafts_without_scores_are_certain() {
    let mut greedy = accepting(Mask::Causal);
    greedy.acceptance.as_mut().unwrap().draft = None::<Draft>;
    let stages = Stages::new(&greedy).unwrap();
    assert_eq!((stages.acceptance.unwrap().draft, Sizes::new(&stages).draft_scores), (None, 0));
}
