//! Every synchronisation operation of the selection kernel is needed, and the executor notices when it is missing.

use std::collections::BTreeSet;

use dustin::select::{
    compare::compare,
    problem::{Maps, SelectProblem},
    reference,
    space::Candidate,
    synthetic::{Contents, Recipe, Scores, SelectInput, SequenceShape},
};
use dustin_kernels::executor::{Options, Site, SyncKind};
use dustin_tests::executor_select::{PreparedSelect, select_candidates};
use rayon::prelude::*;

/// Two forms of a batch: by tokens, and by blocks of pooled scores with physical slots. And one by tokens with more candidates
/// than there is room for in blocks of 8 warps.
fn inputs() -> [SelectInput; 3] {
    let tokens =
        SelectProblem { maps: Maps::Both, quota: 8, sinks: 2, recent: 5, ..SelectProblem::plain(1, 1, 32) };
    let blocks = SelectProblem { block: 4, pooling: 3, ..tokens };
    [input(tokens, None, 1100), input(blocks, Some(16), 1100), input(tokens, None, 2500)]
}

/// A sequence whose ties take a selection through all digits of both maps, and one that is taken whole.
fn input(rules: SelectProblem, page_size: Option<u32>, length: u32) -> SelectInput {
    let shape = |length| SequenceShape { length, has_target: true };
    let contents = Contents { draft: Scores::TwoValues, target: Scores::Equal, gap: 2, seed: 23 };
    let recipe = Recipe {
        rules,
        sequences: vec![shape(length), shape(20)],
        page_size,
        narrow_table: false,
        target_slots: false,
        spare: 0,
        contents,
    };
    recipe.input().expect("a valid recipe")
}

/// Whether the executor reports each synchronisation site that the launch meets when that site alone is dropped.
fn verdicts(candidate: Candidate, input: &SelectInput) -> Vec<(Site, bool)> {
    let mut whole = PreparedSelect::new(input);
    let trace =
        whole.launch(candidate, &Options::default()).expect("nothing to report while nothing is dropped");
    let reference = reference::select(&input.problem, &input.arrays()).expect("a valid input");
    compare(&input.problem, &input.strides, &reference, &whole.selected())
        .unwrap_or_else(|error| panic!("{candidate}: {error}"));
    let reported = |site| {
        let options = Options { dropped: Some(site), max_findings: 1, ..Options::default() };
        PreparedSelect::new(input).launch(candidate, &options).is_err()
    };
    // In a cluster of one block, its own barrier orders all that its arrival at the cluster's does.
    let is_needed = |site: &Site| candidate.cluster > 1 || site.kind != SyncKind::ClusterWait;
    let sites = trace.syncs.into_iter().map(|(site, _)| site).filter(is_needed);
    sites.map(|site| (site, reported(site))).collect()
}

#[test]
fn every_synchronisation_that_is_missing_is_reported_in_every_launch() {
    let inputs = inputs();
    let [tokens, blocks, too_many] = &inputs;
    let all = select_candidates();
    let of_8_warps = all.iter().filter(|candidate| candidate.variant.tile.warps == 8);
    let cases: Vec<_> = [tokens, blocks]
        .into_iter()
        .flat_map(|input| all.iter().map(move |of| (input, *of)))
        .chain(of_8_warps.map(|of| (too_many, *of)))
        .collect();
    let verdicts: Vec<_> = cases
        .par_iter()
        .flat_map_iter(|&(input, candidate)| {
            verdicts(candidate, input).into_iter().map(move |(site, reported)| (site, candidate, reported))
        })
        .collect();
    let sites: BTreeSet<Site> = verdicts.iter().map(|&(site, ..)| site).collect();
    let count = |kind| sites.iter().filter(|site| site.kind == kind).count();
    assert!(count(SyncKind::ClusterWait) >= 3 && count(SyncKind::BlockBarrier) >= 6, "{sites:#?}");
    let survivors: Vec<_> = verdicts
        .iter()
        .filter(|&&(.., reported)| !reported)
        .map(|(site, candidate, _)| format!("{site}, {candidate}"))
        .collect();
    assert!(survivors.is_empty(), "dropped without a report: {survivors:#?}");
}
