use dustin_kernels::registry::{ATTENTION, Dtype};

use super::*;
use crate::{
    attention::problem::Sets,
    kv::{KvLayout, PagedKv},
};

fn problem() -> AttentionProblem {
    AttentionProblem {
        batch: 16,
        rows: 5,
        total_rows: 80,
        confirmed: Confirmed::Sets(Sets::of_positions(512)),
        query_heads: 64,
        kv: PagedKv::dense(KvLayout::Nhd, 100, 16, 8, 128),
        table_width: 2049,
        dtype: Dtype::Bf16,
        mask: Mask::Causal,
        lse: false,
        batch_invariant: false,
    }
}

fn variant(columns: u32) -> &'static AttentionVariant {
    let fits =
        |v: &&AttentionVariant| v.dtype == Dtype::Bf16 && v.head_dim == 128 && v.tile.columns == columns;
    ATTENTION.iter().find(fits).expect("a variant of each width")
}

/// A variant whose splits may be a cluster.
fn clustered() -> &'static AttentionVariant {
    let can = |v: &&AttentionVariant| v.dtype == Dtype::Bf16 && v.head_dim == 128 && v.tile.clusters(128);
    ATTENTION.iter().find(can).expect("a variant with clusters")
}

fn buffers(problem: &AttentionProblem) -> AttentionBuffers {
    AttentionBuffers {
        query: 0x1000,
        key: 0x2000,
        value: 0x3000,
        block_table: 0x4000,
        lengths: 0x5000,
        row_starts: 0x6000,
        set: 0x7000,
        set_sizes: 0x8000,
        masks: 0,
        output: 0x9000,
        lse: 0,
        workspace: 0xa000,
        workspace_bytes: 1 << 30,
        scale: 0.125,
        lse_base: LogBase::E,
        output_type: OutputType::Rounded,
        strides: AttentionStrides::dense(problem),
        stable: false,
    }
}

#[test]
fn forty_columns_are_one_chunk_of_three_groups_or_three_chunks_of_one() {
    let plan = AttentionPlan::new(&problem(), variant(3), 3).unwrap();
    assert_eq!((plan.chunks, plan.grid), (1, [3, 8, 16]));
    let plan = AttentionPlan::new(&problem(), variant(1), 1).unwrap();
    assert_eq!((plan.chunks, plan.grid), (3, [1, 24, 16]));
}

#[test]
fn workspace_parts_are_aligned_and_follow_the_rows_held() {
    let plan = AttentionPlan::new(&problem(), variant(3), 2).unwrap();
    let parts = &plan.workspace;
    assert_eq!(parts.status, 0..8);
    assert_eq!(parts.arrivals, 256..256 + 16 * 8 * 4);
    assert_eq!(parts.partial_sums, 768..768 + 2 * 80 * 64 * 8);
    assert_eq!(parts.partial_output.start % WORKSPACE_ALIGNMENT, 0);
    assert_eq!(plan.workspace_bytes(), parts.partial_output.start + 2 * 80 * 64 * 128 * 4);
    let single = AttentionPlan::new(&problem(), variant(3), 1).unwrap();
    assert_eq!(single.workspace_bytes(), 768);
    assert_eq!(single.workspace.zeroed_bytes(), 768);
}

#[test]
fn one_split_has_no_partial_arrays() {
    let problem = problem();
    let one = AttentionPlan::new(&problem, variant(3), 1).unwrap().params(&buffers(&problem)).unwrap();
    assert!(one.partial_output.is_null() && one.partial_sums.is_null() && one.arrivals.is_null());
    let two = AttentionPlan::new(&problem, variant(3), 2).unwrap().params(&buffers(&problem)).unwrap();
    assert_eq!(two.arrivals.address(), 0xa000 + 256);
    assert_eq!(two.status.address(), 0xa000);
}

#[test]
fn a_cluster_merges_in_shared_memory_alone() {
    let problem = problem();
    let tile = clustered();
    let plan = AttentionPlan::new(&problem, tile, Splits::of_cluster(3)).unwrap();
    assert_eq!((plan.grid, plan.splits.cluster()), ([3, 24, 16], 3));
    assert_eq!(plan.shared_bytes(), tile.shared().cluster_bytes);
    assert_eq!(plan.workspace_bytes(), AttentionPlan::new(&problem, tile, 1).unwrap().workspace_bytes());
    let params = plan.params(&buffers(&problem)).unwrap();
    assert!(params.partial_output.is_null() && params.partial_sums.is_null() && params.arrivals.is_null());
}

#[test]
fn a_cluster_that_cannot_be_is_refused() {
    let refused = |variant, count| {
        AttentionPlan::new(&problem(), variant, Splits::of_cluster(count))
            .is_err_and(|e| e.field == "cluster")
    };
    assert!(refused(variant(3), 2) && refused(clustered(), 1) && refused(clustered(), 9));
    let error = AttentionPlan::new(&problem(), clustered(), Splits::of_cluster(0)).unwrap_err();
    assert_eq!(error.field, "splits");
}

#[test]
fn a_request_that_cannot_be_launched_is_refused_by_field() {
    let good = problem();
    let field = |problem: AttentionProblem, variant, splits| {
        AttentionPlan::new(&problem, variant, splits).unwrap_err().field
    };
    assert_eq!(field(AttentionProblem { batch: 0, ..good }, variant(3), 1), "batch");
    assert_eq!(field(AttentionProblem { dtype: Dtype::F16, ..good }, variant(3), 1), "variant.dtype");
    let kv = PagedKv::dense(KvLayout::Nhd, 100, 16, 8, 64);
    assert_eq!(field(AttentionProblem { kv, ..good }, variant(3), 1), "variant.head_dim");
    let kv = PagedKv { head_dim: 96, ..good.kv };
    assert_eq!(field(AttentionProblem { kv, ..good }, variant(3), 1), "kv.head_dim");
    assert_eq!(field(good, variant(3), 0), "splits");
    assert_eq!(field(good, variant(3), 65), "splits");
    let kv = PagedKv::dense(KvLayout::Nhd, 100, 16, 1 << 16, 128);
    let wide = AttentionProblem { kv, query_heads: 1 << 16, ..good };
    assert_eq!(field(wide, variant(3), 1), "kv_heads · chunks");
}

#[test]
fn bad_addresses_scales_and_strides_are_refused_by_field() {
    let problem = problem();
    let plan = AttentionPlan::new(&problem, variant(3), 1).unwrap();
    let field = |change: fn(&mut AttentionBuffers)| {
        let mut buffers = buffers(&problem);
        change(&mut buffers);
        plan.params(&buffers).unwrap_err().field
    };
    assert_eq!(field(|b| b.key += 8), "key");
    assert_eq!(field(|b| b.set = 0), "set");
    assert_eq!(field(|b| b.workspace += 16), "workspace");
    assert_eq!(field(|b| b.workspace = 0), "workspace");
    assert_eq!(field(|b| b.lse = 0x100), "lse");
    assert_eq!(field(|b| b.scale = f32::NAN), "scale");
    assert_eq!(field(|b| b.scale = 0.0), "scale");
    assert_eq!(field(|b| b.scale = -0.125), "scale");
    // Finite, but not in units of log2(e).
    assert_eq!(field(|b| b.scale = 3e38), "scale");
    assert_eq!(field(|b| b.strides.query_row += 1), "strides.query_row");
    assert_eq!(field(|b| b.strides.output_row = 128), "strides.output_row");
    assert_eq!(field(|b| b.strides.set = 511), "strides.set");
}

#[test]
fn a_workspace_smaller_than_the_plan_needs_is_refused() {
    let problem = problem();
    let plan = AttentionPlan::new(&problem, variant(3), 2).unwrap();
    let params = |workspace_bytes| plan.params(&AttentionBuffers { workspace_bytes, ..buffers(&problem) });
    assert!(params(plan.workspace_bytes()).is_ok());
    let error = params(plan.workspace_bytes() - 1).unwrap_err();
    assert_eq!(error.field, "workspace_bytes");
    assert_eq!(error.actual, (plan.workspace_bytes() - 1).to_string());
}

#[test]
fn chunks_of_an_absurd_problem_do_not_overflow() {
    let kv = PagedKv { kv_heads: 1, ..problem().kv };
    let absurd = AttentionProblem { rows: u32::MAX, query_heads: u32::MAX, kv, ..problem() };
    assert_eq!(chunks(&absurd, variant(1)), u32::MAX.div_ceil(16));
    assert_eq!(AttentionPlan::new(&absurd, variant(1), 1).unwrap_err().field, "rows");
}

/// The field that a launch is refused for over `problem`'s buffers with one `change`; the unchanged ones are taken.
fn refused_field(problem: &AttentionProblem, change: fn(&mut AttentionBuffers)) -> &'static str {
    let plan = AttentionPlan::new(problem, variant(3), 1).unwrap();
    let mut buffers = buffers(problem);
    buffers.masks = if problem.mask == Mask::Tree { 0xb000 } else { 0 };
    if problem.sets().is_none() {
        (buffers.set, buffers.set_sizes) = (0, 0);
    }
    assert!(plan.params(&buffers).is_ok());
    change(&mut buffers);
    plan.params(&buffers).unwrap_err().field
}

#[test]
fn masks_are_required_of_trees_and_refused_otherwise() {
    let tree = AttentionProblem { mask: Mask::Tree, ..problem() };
    assert_eq!(refused_field(&tree, |b| b.masks = 0), "masks");
    assert_eq!(refused_field(&tree, |b| b.masks += 4), "masks");
    assert_eq!(refused_field(&problem(), |b| b.masks = 0xb000), "masks");
}

#[test]
fn set_sizes_are_required_of_sets_and_refused_where_there_are_none() {
    assert_eq!(refused_field(&problem(), |b| b.set_sizes = 0), "set_sizes");
    assert_eq!(refused_field(&problem(), |b| b.set_sizes += 2), "set_sizes");
    for confirmed in [Confirmed::Everything, Confirmed::Window { sinks: 4, recent: 60 }] {
        let without = AttentionProblem { confirmed, ..problem() };
        assert_eq!(refused_field(&without, |b| b.set_sizes = 0x8000), "set_sizes");
        assert_eq!(refused_field(&without, |b| b.set = 0x7000), "set");
    }
    // Sets without room have sizes all the same, since EVERYTHING may stand there, but no entries.
    let empty = AttentionProblem { confirmed: Confirmed::Sets(Sets::of_positions(0)), ..problem() };
    assert_eq!(
        refused_field(&empty, |b| {
            b.set = 0;
            b.set_sizes = 0;
        }),
        "set_sizes"
    );
    let plan = AttentionPlan::new(&empty, variant(3), 1).unwrap();
    assert!(plan.params(&AttentionBuffers { set: 0, ..buffers(&empty) }).is_ok());
}

#[test]
fn a_workspace_that_ends_behind_the_last_address_is_refused() {
    let problem = problem();
    let plan = AttentionPlan::new(&problem, variant(3), 2).unwrap();
    let params = |workspace| plan.params(&AttentionBuffers { workspace, ..buffers(&problem) });
    let room = plan.workspace_bytes().next_multiple_of(WORKSPACE_ALIGNMENT);
    let last = u64::MAX - (WORKSPACE_ALIGNMENT - 1);
    assert!(params(last - room).is_ok());
    for workspace in [last - room + 2 * WORKSPACE_ALIGNMENT, last] {
        let error = params(workspace).unwrap_err();
        assert_eq!((error.field, error.actual), ("workspace", format!("{workspace:#x}")));
    }
}
