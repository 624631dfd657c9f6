use super::{plan::plan, role::Role, *};
use crate::{
    attention::{
        arrays::{AttentionStrides, LogBase, OutputType},
        problem::{Entries, Mask},
    },
    cache::append::arrays::AppendStrides,
    score::launch::SourceBuffers,
};

const WORKSPACE: (u64, u64) = (0x1_0000, 1 << 40);

/// Addresses that differ from each other.
fn step(plan: &VerifierPlan) -> StepBuffers {
    let sizes = plan.sizes();
    let given = |items: u64, address| if items > 0 { address } else { 0 };
    StepBuffers {
        lengths: 0x1000,
        row_starts: 0x2000,
        block_table: 0x3000,
        table_stride: 3000,
        map_starts: 0x4000,
        slots: given(sizes.target_map, 0x5000),
        draft: DraftBuffers { lengths: 0x6000, block_table: 0x7000, table_stride: 4000, slots: 0x8000 },
        target_map: given(sizes.target_map, 0x9000),
        draft_map: given(sizes.draft_map, 0xa000),
        set: 0xb000,
        physical: given(sizes.physical, 0xc000),
        set_sizes: 0xd000,
        masks: given(sizes.masks, 0xe000),
    }
}

fn memory(plan: &VerifierPlan) -> EngineMemory {
    let extent = 2 * plan.problem().target.kv.extent();
    let keys: Vec<u64> = (0..80).map(|layer| (1 << 50) + 2 * layer * extent).collect();
    let target_values = keys.iter().map(|key| key + extent).collect();
    EngineMemory { target_keys: keys, target_values, ..EngineMemory::default() }
}

fn sources(count: usize) -> Vec<SourceBuffers> {
    vec![SourceBuffers { query: 0x100, key: 0x200, groups: 0x300, weights: 0x400 }; count]
}

#[test]
fn maps_are_gathered_from_the_arrays_of_their_model() {
    let plan = plan(&problem(1, 0), vec![]);
    let (step, of_target, of_draft) = (step(&plan), sources(1), sources(2));
    let target = plan.score_buffers(Role::Target, &of_target, &step, WORKSPACE);
    assert_eq!((target.slots, target.block_table, target.lengths), (0x5000, 0x3000, 0x1000));
    assert_eq!((target.map_starts, target.map, target.strides.table), (0x4000, 0x9000, 3000));
    assert_eq!((target.strides.query_slot, target.strides.query_head), (512, 128));
    assert!((target.scale - 1.0 / 128f32.sqrt()).abs() < 1e-7);
    plan.target_score().heads().unwrap().params(0, &target).unwrap();
    let draft = plan.score_buffers(Role::Draft, &of_draft, &step, WORKSPACE);
    assert_eq!((draft.slots, draft.block_table, draft.lengths), (0x8000, 0x7000, 0x6000));
    assert_eq!((draft.map_starts, draft.map, draft.strides.table), (0x4000, 0xa000, 4000));
    assert_eq!((draft.strides.query_slot, draft.strides.query_token), (768, 192));
    assert_eq!(draft.scale, 0.125);
    plan.draft_score().heads().unwrap().params(1, &draft).unwrap();
}

#[test]
fn attention_reads_what_selection_writes_as_positions_or_as_slots() {
    let rows = |plan: &VerifierPlan| {
        let strides = AttentionStrides::dense(&plan.stages().attention);
        AttentionRows {
            query: 0x1_1000,
            query_row: strides.query_row,
            query_head: strides.query_head,
            output: 0x1_2000,
            output_row: strides.output_row,
            output_head: strides.output_head,
            output_type: OutputType::Rounded,
            lse: 0,
            lse_base: LogBase::E,
            stable: true,
        }
    };
    let plan_of = |entries, mask| plan(&VerifierProblem { entries, mask, ..problem(1, 0) }, vec![]);
    for (entries, mask, set) in
        [(Entries::Positions, Mask::Causal, 0xb000), (Entries::Slots, Mask::Tree, 0xc000)]
    {
        let plan = plan_of(entries, mask);
        let (step, memory) = (step(&plan), memory(&plan));
        let selected = plan.selection_buffers(&step, WORKSPACE);
        assert_eq!((selected.draft, selected.target, selected.target_slots), (0xa000, 0x9000, 0x5000));
        assert_eq!((selected.set, selected.physical, selected.set_sizes), (0xb000, step.physical, 0xd000));
        let looked_up = if entries == Entries::Slots { (0x3000, 3000) } else { (0, 0) };
        assert_eq!((selected.block_table, selected.strides.table), looked_up);
        plan.selection().params(&selected).unwrap();

        let sparse = plan.attention_buffers(plan.attention(), &memory, 7, &step, &rows(&plan), WORKSPACE);
        assert_eq!((sparse.set, sparse.set_sizes, sparse.strides.set), (set, 0xd000, 512));
        assert_eq!((sparse.key, sparse.value), (memory.target_keys[7], memory.target_values[7]));
        assert_eq!((sparse.row_starts, sparse.masks, sparse.strides.table), (0x2000, step.masks, 3000));
        plan.attention().params(&sparse).unwrap();
        let full = plan.attention_buffers(plan.full_attention(), &memory, 7, &step, &rows(&plan), WORKSPACE);
        assert_eq!((full.set, full.set_sizes, full.lengths), (0, 0, 0x1000));
        plan.full_attention().params(&full).unwrap();
    }
}

#[test]
fn rows_are_written_to_the_caches_of_their_layer_and_compacted_in_all() {
    let plan = plan(&problem(1, 0), vec![]);
    let (step, memory) = (step(&plan), memory(&plan));
    let strides = AppendStrides::dense(&plan.stages().append);
    let rows = AppendRows { key: 0x100, value: 0x200, query: 0, query_copy: 0, strides, stable: true };
    let append = plan.append_buffers(&memory, 79, &step, &rows, WORKSPACE);
    assert_eq!((append.key_cache, append.value_cache), (memory.target_keys[79], memory.target_values[79]));
    assert_eq!((append.step.block_table, append.step.row_starts, append.stable), (0x3000, 0x2000, true));
    plan.append().params(&append).unwrap();
    let accepted = AcceptedBuffers { rows: 0x300, stride: 5, counts: 0x400 };
    let compact = plan.compaction_buffers([0x500, 0x600], &step, &accepted, WORKSPACE);
    assert_eq!((compact.key_caches, compact.value_caches), (0x500, 0x600));
    assert_eq!((compact.accepted, compact.accepted_counts, compact.step.lengths), (0x300, 0x400, 0x1000));
    plan.compaction().params(&compact).unwrap();
}
