//! Every synchronisation operation of the attention kernel is needed, and the executor notices when it is missing.

use std::collections::{BTreeMap, BTreeSet};

use dustin::{
    Dtype,
    attention::{
        arrays::{LogBase, OutputType},
        reference,
        space::Candidate,
        synthetic::{AttentionInput, Contents, Logits, Recipe, SequenceShape},
    },
    kv::KvLayout,
};
use dustin_kernels::{
    attention::smem::Plan,
    executor::{Options, Site, SyncKind},
    registry::{ATTENTION, AttentionVariant},
};
use dustin_tests::{executor_backend::Prepared, verdict::judge};
use rayon::prelude::*;

/// Of each pipeline shape (warps, token groups, stages) the variant with the most query columns, with the head sizes in
/// turn, launched with one split and with two.
fn launches() -> Vec<Candidate> {
    let pipeline =
        |variant: &AttentionVariant| (variant.tile.teams, variant.tile.groups, variant.tile.stages);
    let pipelines: BTreeSet<_> = ATTENTION.iter().map(pipeline).collect();
    let widest = |(index, shape)| {
        let of_shape = ATTENTION
            .iter()
            .filter(|v| v.dtype == Dtype::Bf16 && v.head_dim == [64, 128][index % 2] && pipeline(v) == shape);
        of_shape.max_by_key(|variant| variant.tile.columns)
    };
    let variants = pipelines.into_iter().enumerate().filter_map(widest);
    variants.flat_map(|variant| [1, 2].map(|splits| Candidate { variant, splits })).collect()
}

/// A long sequence, whose splits are of several tiles with a partial one at the end, and a short one.
fn input(variant: &AttentionVariant) -> AttentionInput {
    let tile = variant.tile.tokens();
    let shape = |length, rows, set_size| SequenceShape { length, rows, set_size };
    let recipe = Recipe {
        dtype: variant.dtype,
        head_dim: variant.head_dim,
        kv_heads: 1,
        group: 4,
        page_size: 16,
        layout: KvLayout::Nhd,
        sequences: vec![shape(6 * tile, 3, 4 * tile + 20), shape(9, 1, 4)],
        spare: 0,
        padding: 0,
        head_major: false,
        lse: true,
        contents: Contents { logits: Logits::Flat, sorted: true, poison_unselected: true, seed: 11 },
    };
    recipe.input().expect("a valid recipe")
}

/// Whether no block of the launch stages its output where the values of its last tile may still be read: the block's
/// last fill is number `2 · tiles - 1`, and lies in the ring's slot of that number modulo the slots.
fn staged_output_is_free(candidate: Candidate, input: &AttentionInput) -> bool {
    let tile = candidate.variant.tile;
    let plan = Plan::new(tile, candidate.variant.head_dim);
    let staged = plan.ring..plan.ring + tile.query_columns() * plan.output_stride * 4;
    let mut rows = input.row_starts.windows(2).map(|pair| pair[1] - pair[0]);
    let counts = input.set_sizes.iter().map(|&set_size| (set_size + rows.next().unwrap_or(0)) as u32);
    let tiles = counts.flat_map(|count| {
        let share = count.div_ceil(16).div_ceil(candidate.splits) * 16;
        (0..candidate.splits).map(move |split| {
            let begin = (split * share).min(count);
            ((begin + share).min(count) - begin).div_ceil(tile.tokens())
        })
    });
    tiles.filter(|&tiles| tiles > 0).all(|tiles| {
        let values = plan.ring + (2 * tiles - 1) % tile.stages * plan.slot;
        values >= staged.end
    })
}

/// Whether the executor reports each synchronisation site that the launch meets when that site alone is dropped.
fn verdicts(candidate: Candidate) -> Vec<(Site, bool)> {
    let input = input(candidate.variant);
    let prepare = || {
        Prepared::new(&input, candidate, OutputType::Rounded, LogBase::E).expect("a launch that is possible")
    };
    let mut whole = prepare();
    let trace = whole.launch(&Options::default()).expect("nothing to report while nothing is dropped");
    let reference = reference::attention(&input.problem, &input.arrays()).expect("a valid input");
    judge(&input, &reference, &whole.attended(), LogBase::E)
        .unwrap_or_else(|error| panic!("{candidate}: {error}"));
    let reported = |site| {
        let options = Options { dropped: Some(site), max_findings: 1, ..Options::default() };
        prepare().launch(&options).is_err()
    };
    trace.syncs.into_iter().map(|(site, _)| (site, reported(site))).collect()
}

/// A site that survives in some launch is the one whose need depends on the tile: the barrier that frees the ring for
/// the output matters only where the output reaches the slot of the last tile's values. None may survive in all launches.
#[test]
fn every_synchronisation_that_is_missing_is_reported() {
    let launches = launches();
    let mut sites: BTreeMap<Site, Vec<(Candidate, bool)>> = BTreeMap::new();
    let results: Vec<_> = launches.par_iter().map(|&candidate| (candidate, verdicts(candidate))).collect();
    for (candidate, verdicts) in results {
        for (site, reported) in verdicts {
            sites.entry(site).or_default().push((candidate, reported));
        }
    }
    assert!(sites.len() >= 10, "only {} synchronisation sites", sites.len());

    let never: Vec<_> = sites
        .iter()
        .filter(|(_, met)| met.iter().all(|&(_, reported)| !reported))
        .map(|(site, _)| site)
        .collect();
    assert!(never.is_empty(), "dropped without a report in every launch: {never:#?}");

    let frees_the_ring = sites
        .keys()
        .find(|site| site.kind == SyncKind::BlockBarrier && site.file.ends_with("attention/epilogue.rs"))
        .expect("the first barrier of the epilogue stands before the output is staged");
    for (site, met) in &sites {
        for &(candidate, reported) in met {
            let needless =
                site == frees_the_ring && staged_output_is_free(candidate, &input(candidate.variant));
            assert!(reported || needless, "the {site} of {candidate} is dropped without a report");
        }
    }

    let all = sites.values().flatten().count();
    let survivors: Vec<_> = sites
        .iter()
        .flat_map(|(site, met)| met.iter().map(move |&(candidate, reported)| (site, candidate, reported)))
        .filter(|&(.., reported)| !reported)
        .map(|(site, candidate, _)| format!("{site}, {candidate}"))
        .collect();
    assert!(survivors.len() * 20 <= all, "{} of {all} survive: {survivors:#?}", survivors.len());
}
