//! Every synchronisation operation of the attention kernel is needed, and the executor notices when it is missing.

use std::collections::{BTreeMap, BTreeSet};

use dustin::{
    Dtype,
    attention::{
        arrays::{LogBase, OutputType},
        launch::Splits,
        problem::{Confirmed, Mask, Sets},
        reference,
        space::Candidate,
        synthetic::{AttentionInput, Contents, Logits, Recipe, SequenceShape},
    },
    kv::KvLayout,
};
use dustin_kernels::{
    executor::{Options, Site, SyncKind},
    registry::{ATTENTION, AttentionVariant},
};
use dustin_tests::{executor_backend::Prepared, verdict::judge};
use rayon::prelude::*;

/// Of each pipeline shape (teams, token groups, stages, and what it is compiled for) the variant with the most query
/// columns, with the head sizes in turn, launched with one split, with two, and with two as a cluster where it can.
fn launches() -> Vec<Candidate> {
    let pipeline = |variant: &AttentionVariant| {
        let tile = variant.tile;
        (tile.teams, tile.groups, tile.stages, tile.overlaps, tile.wgmma)
    };
    let pipelines: BTreeSet<_> = ATTENTION.iter().map(pipeline).collect();
    let widest = |(index, shape)| {
        let of_shape = ATTENTION
            .iter()
            .filter(|v| v.dtype == Dtype::Bf16 && v.head_dim == [64, 128][index % 2] && pipeline(v) == shape);
        of_shape.max_by_key(|variant| variant.tile.columns)
    };
    let variants = pipelines.into_iter().enumerate().filter_map(widest);
    let candidates = |variant: &'static AttentionVariant| {
        let cluster = variant.tile.clusters(variant.head_dim).then_some(Splits::of_cluster(2));
        [Splits::from(1), Splits::from(2)]
            .into_iter()
            .chain(cluster)
            .map(move |splits| Candidate { variant, splits })
    };
    variants.flat_map(candidates).collect()
}

/// A sequence with query columns for all warps of a team, whose splits are of several tiles with a partial one at the end, and one with
/// columns for one warp, for which the others copy.
fn input(variant: &AttentionVariant) -> AttentionInput {
    let tile = variant.tile.tokens();
    let shape = |length, rows, set_size| SequenceShape { length, rows, set_size };
    let recipe = Recipe {
        dtype: variant.dtype,
        head_dim: variant.head_dim,
        kv_heads: 1,
        group: 16,
        page_size: 16,
        layout: KvLayout::Nhd,
        sequences: vec![
            shape(6 * tile, variant.tile.columns, 4 * tile + 20),
            shape(3 * tile, 1, 2 * tile + 4),
        ],
        confirmed: Confirmed::Sets(Sets::of_positions(0)),
        mask: Mask::Causal,
        spare: 0,
        padding: 0,
        head_major: false,
        lse: true,
        contents: Contents { logits: Logits::Flat, sorted: true, poison_unselected: true, seed: 11 },
    };
    recipe.input().expect("a valid recipe")
}

/// Whether the executor reports each synchronisation site that the launch meets when that site alone is dropped.
fn verdicts(candidate: Candidate) -> Vec<(Site, bool)> {
    let input = input(candidate.variant);
    let prepare = || {
        let prepared = Prepared::new(&input, candidate, OutputType::Rounded, LogBase::E);
        let mut prepared = prepared.expect("a launch that is possible");
        prepared.write_inputs(&input).expect("copies alone");
        prepared
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
    assert!(sites.len() >= 11, "only {} synchronisation sites", sites.len());
    assert!(sites.keys().any(|site| site.kind == SyncKind::GridWait), "launches overlap");

    for (site, met) in &sites {
        for &(candidate, reported) in met {
            assert!(reported, "the {site} of {candidate} is dropped without a report");
        }
    }
}
