use dustin_kernels::registry::{Dtype, FOLD, LOGITS};

use super::*;
use crate::kv::{KvLayout, PagedKv};

fn problem() -> ScoreProblem {
    ScoreProblem {
        batch: 16,
        map_capacity: 16 * 1000,
        tokens: 3,
        slots: 16,
        query_heads: 64,
        kv: PagedKv::dense(KvLayout::Nhd, 100, 16, 8, 128),
        table_width: 63,
        dtype: Dtype::Bf16,
        sources: Source::mean(&[&[0, 1, 2, 9], &[8], &[5, 7]], 3),
        accumulate: false,
    }
}

fn variant() -> &'static LogitsVariant {
    let fits = |v: &&LogitsVariant| v.dtype == Dtype::Bf16 && v.head_dim == 128 && v.tile.warps == 8;
    LOGITS.iter().find(fits).expect("a variant of 8 warps")
}

fn plan(problem: &ScoreProblem) -> ScorePlan {
    ScorePlan::new(problem, variant(), &FOLD[0], 5).unwrap()
}

const SOURCES: [SourceBuffers; 3] = [
    SourceBuffers { query: 0x1000, key: 0x2000, groups: 0x3000, weights: 0x4000 },
    SourceBuffers { query: 0x1100, key: 0x2100, groups: 0x3100, weights: 0x4100 },
    SourceBuffers { query: 0x1200, key: 0x2200, groups: 0x3200, weights: 0x4200 },
];

fn buffers(problem: &ScoreProblem) -> ScoreBuffers<'static> {
    ScoreBuffers {
        sources: &SOURCES[..problem.sources.len()],
        slots: 0x5000,
        block_table: 0x6000,
        lengths: 0x7000,
        map_starts: 0x8000,
        map: 0x9000,
        workspace: 0xa000,
        workspace_bytes: 1 << 40,
        scale: 0.125,
        strides: ScoreStrides::dense(problem),
    }
}

#[test]
fn the_fold_has_at_least_as_many_warps_for_a_sequence_as_the_logits() {
    for fold in FOLD {
        let plan = ScorePlan::new(&problem(), variant(), fold, 5).unwrap();
        assert_eq!((plan.grid(), plan.threads()), ([5, 16, 1], 256));
        assert_eq!(plan.fold_grid(), [40_u32.div_ceil(fold.warps), 16, 1]);
        // One group of 8 columns: normaliser and weight, and each warp's factors.
        let shared = 8 * 8 + fold.warps * 8 * 4;
        assert_eq!((plan.fold_threads(), plan.fold_shared_bytes()), (32 * fold.warps, shared));
    }
}

#[test]
fn workspace_parts_are_aligned_and_follow_the_tokens_held() {
    let plan = plan(&problem());
    let WorkspaceLayout { status, exponentials, sums } = plan.workspace();
    assert_eq!((status.clone(), plan.workspace().zeroed_bytes()), (0..8, 8));
    // The first source has 9 columns of one KV head and 3 of another: three groups of 8.
    assert_eq!(*exponentials, 256..256 + (16_000 + 32 * 16) * 3 * 8 * 2);
    let (bytes, end) = (16 * 3 * 8 * 256 * 8, exponentials.end);
    assert_eq!(*sums, [end..end + bytes, end + bytes..end + 2 * bytes]);
    assert_eq!(plan.workspace_bytes(), sums[1].end);

    let mut single = problem();
    single.sources.truncate(1);
    let single = ScorePlan::new(&single, variant(), &FOLD[0], 5).unwrap();
    assert_eq!(single.workspace_bytes(), sums[0].end);
}

#[test]
fn sixteen_long_sequences_need_8_megabytes_of_exponentials_for_four_heads_and_17_for_sixteen_columns() {
    let exponentials = |heads: &[u32], tokens| {
        let sources = Source::mean(&[heads], tokens);
        let problem = ScoreProblem { map_capacity: 16 << 15, tokens, sources, ..problem() };
        let exponentials = plan(&problem).workspace().exponentials.clone();
        exponentials.end - exponentials.start
    };
    assert!(exponentials(&[0, 9, 17, 25], 1) <= 8_500_000);
    assert!(exponentials(&[0, 1, 8, 9], 4) <= 17_000_000);
}

#[test]
fn each_source_folds_the_one_before_and_only_the_first_may_overwrite() {
    for accumulate in [false, true] {
        let problem = ScoreProblem { accumulate, ..problem() };
        let (plan, buffers) = (plan(&problem), buffers(&problem));
        let params: Vec<Params> = (0..3).map(|source| plan.params(source, &buffers).unwrap()).collect();
        let last = plan.fold_params(&buffers).unwrap().last;
        assert_eq!(params[0].before.groups, 0);
        let folds = [params[1].before, params[2].before, last];
        for (index, (fold, own)) in folds.iter().zip(params.iter().map(|params| params.own)).enumerate() {
            assert_eq!(fold.weights.address(), SOURCES[index].weights);
            assert_eq!((fold.groups, fold.group_capacity, fold.width_log2), ([3, 1, 1][index], 3, 3));
            assert_eq!(fold.accumulate, u32::from(index > 0 || accumulate));
            assert_eq!(fold.sums.address(), own.sums.address());
            let alternate = &plan.workspace().sums[index % 2];
            assert_eq!(fold.sums.address(), buffers.workspace + alternate.start);
        }
        let Params { source, own, cache, .. } = params[0];
        assert_eq!((source.kv_groups, own.groups), (2, 3));
        assert_eq!((source.key.address(), cache.page_shift), (SOURCES[0].key, 4));
    }
}

#[test]
fn shared_memory_has_room_for_the_source_before() {
    let plan = plan(&problem());
    let expected = [(2, 3, 0), (1, 1, 3), (1, 1, 1)];
    for (source, (kv_groups, column_groups, before)) in expected.into_iter().enumerate() {
        assert_eq!(plan.shared_bytes(source), variant().shared(kv_groups, column_groups, before).bytes);
    }
    assert_eq!(plan.shared_bytes(3), 0);
}

#[test]
fn a_request_that_cannot_be_launched_is_refused_by_field() {
    let field = |change: &dyn Fn(&mut ScoreProblem), splits| {
        let mut problem = problem();
        change(&mut problem);
        ScorePlan::new(&problem, variant(), &FOLD[0], splits).unwrap_err().field
    };
    assert_eq!(field(&|p| p.batch = 0, 1), "batch");
    assert_eq!(field(&|p| p.dtype = Dtype::F16, 1), "variant.dtype");
    assert_eq!(field(&|p| p.kv.head_dim = 64, 1), "variant.head_dim");
    assert_eq!(field(&|_| (), 0), "splits");
    assert_eq!(field(&|_| (), 257), "splits");
    let problem = problem();
    let error = plan(&problem).params(3, &buffers(&problem)).unwrap_err();
    assert_eq!((error.field, error.actual.as_str()), ("source", "3"));
}

#[test]
fn bad_addresses_scales_and_strides_are_refused_by_field() {
    let problem = problem();
    let plan = plan(&problem);
    let field = |change: fn(&mut ScoreBuffers<'_>)| {
        let mut buffers = buffers(&problem);
        change(&mut buffers);
        let error = plan.params(0, &buffers).unwrap_err();
        assert_eq!(error, plan.fold_params(&buffers).unwrap_err());
        error.field
    };
    assert_eq!(field(|b| b.sources = &SOURCES[..2]), "sources");
    assert_eq!(field(|b| b.sources = &[SourceBuffers { query: 8, ..SOURCES[0] }; 3]), "query");
    assert_eq!(field(|b| b.sources = &[SourceBuffers { key: 0, ..SOURCES[0] }; 3]), "key");
    assert_eq!(field(|b| b.sources = &[SourceBuffers { groups: 2, ..SOURCES[0] }; 3]), "groups");
    assert_eq!(field(|b| b.sources = &[SourceBuffers { weights: 0, ..SOURCES[0] }; 3]), "weights");
    assert_eq!(field(|b| b.slots = 2), "slots");
    assert_eq!(field(|b| b.block_table = 0), "block_table");
    assert_eq!(field(|b| b.lengths = 0), "lengths");
    assert_eq!(field(|b| b.map_starts = 0), "map_starts");
    assert_eq!(field(|b| b.map = 2), "map");
    assert_eq!(field(|b| b.workspace += 16), "workspace");
    assert_eq!(field(|b| b.workspace_bytes = 1000), "workspace_bytes");
    assert_eq!(field(|b| b.scale = f32::NAN), "scale");
    // Finite, but not in units of log2(e).
    assert_eq!(field(|b| b.scale = 3e38), "scale");
    assert_eq!(field(|b| b.strides.query_head += 1), "strides.query_head");
    assert_eq!(field(|b| b.strides.table = 62), "strides.table");

    let crowded = ScoreProblem { slots: 15, ..problem.clone() };
    let own_slots = ScoreBuffers { slots: 0, ..buffers(&problem) };
    assert!(plan.params(0, &own_slots).unwrap().slots.slots.is_null());
    let plan = ScorePlan::new(&crowded, variant(), &FOLD[0], 5).unwrap();
    assert_eq!(plan.params(0, &own_slots).unwrap_err().field, "slots");
}

#[test]
fn a_workspace_smaller_than_the_plan_needs_is_refused() {
    let problem = problem();
    let plan = plan(&problem);
    let params = |workspace_bytes| plan.params(0, &ScoreBuffers { workspace_bytes, ..buffers(&problem) });
    assert!(params(plan.workspace_bytes()).is_ok());
    let error = params(plan.workspace_bytes() - 1).unwrap_err();
    assert_eq!((error.field, error.actual), ("workspace_bytes", (plan.workspace_bytes() - 1).to_string()));
}
