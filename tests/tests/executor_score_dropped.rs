//! Every synchronisation operation of the kernels of score gathering is needed, and the executor notices when it is missing.

use std::collections::BTreeMap;

use dustin::{
    kv::KvLayout,
    score::{
        problem::Source,
        space::Candidate,
        synthetic::{Contents, Logits, Recipe, ScoreInput, SequenceShape},
    },
};
use dustin_kernels::{
    executor::{Options, Site, SyncKind},
    registry::{FOLD, LOGITS, LogitsVariant},
};
use dustin_tests::{
    executor_score::Prepared,
    score::{judge, reference_of},
};
use rayon::prelude::*;

/// Of each shape of the ring (warps, token groups, places), with and without launches that overlap, one variant, with the
/// kernels of `fold` that do alike in turn, and as many splits as leave a warp several chunks.
fn candidates() -> Vec<Candidate> {
    let mut variants: Vec<&'static LogitsVariant> = Vec::new();
    for variant in LOGITS {
        if variants.iter().all(|known| known.tile != variant.tile) {
            variants.push(variant);
        }
    }
    let candidate = |(index, logits): (usize, &'static LogitsVariant)| {
        let folds: Vec<_> = FOLD.iter().filter(|fold| fold.overlaps == logits.tile.overlaps).collect();
        Candidate { logits, fold: folds[index % folds.len()], splits: 1 }
    };
    variants.into_iter().enumerate().map(candidate).collect()
}

/// Two layers whose heads read two KV heads, for a sequence with more chunks than a block of either kernel has warps, a short
/// one, and one without queries.
fn input(candidate: Candidate) -> ScoreInput {
    let (variant, warps) = (candidate.logits, candidate.logits.tile.warps.max(candidate.fold.warps));
    let shape = |length, captured| SequenceShape { length, room: 0, captured };
    let recipe = Recipe {
        dtype: variant.dtype,
        head_dim: variant.head_dim,
        kv_heads: 2,
        group: 3,
        page_size: 16,
        layout: KvLayout::Nhd,
        sequences: vec![shape(256 * warps + 200, true), shape(40, true), shape(300, false)],
        sources: Source::mean(&[&[0, 1, 4], &[2, 3]], 2),
        tokens: 2,
        accumulate: true,
        spare: 1,
        padding: 0,
        contents: Contents { logits: Logits::Flat, slots: true, seed: 3 },
    };
    recipe.input().expect("a valid recipe")
}

/// The same without any queries: nothing is left to do but to fold nothing into the map.
fn without_queries(candidate: Candidate) -> ScoreInput {
    let mut input = input(candidate);
    input.problem.accumulate = false;
    input.slots = Some(vec![-1; input.lengths.len()]);
    input
}

/// Whether the executor reports each synchronisation site that one of two jobs meets when that site alone is dropped. Each is
/// launched twice: what ends without having waited may be in the next job's way.
fn verdicts(candidate: Candidate) -> Vec<(Site, bool)> {
    let mut reported = BTreeMap::new();
    for input in [input(candidate), without_queries(candidate)] {
        let prepare = || Prepared::new(&input, candidate).expect("a job that is possible");
        let mut whole = prepare();
        let sites = whole.launch(&Options::default()).expect("nothing to report while nothing is dropped");
        let reference = reference_of(&input).expect("a valid input");
        judge(&input, &reference, &whole.scored()).unwrap_or_else(|error| panic!("{candidate}: {error}"));
        for site in sites {
            let options = Options { dropped: Some(site), max_findings: 1, ..Options::default() };
            let mut job = prepare();
            *reported.entry(site).or_default() |= (0..2).any(|_| job.launch(&options).is_err());
        }
    }
    reported.into_iter().collect()
}

#[test]
fn every_synchronisation_that_is_missing_is_reported() {
    let candidates = candidates();
    let mut sites: BTreeMap<Site, Vec<(Candidate, bool)>> = BTreeMap::new();
    let results: Vec<_> = candidates.par_iter().map(|&candidate| (candidate, verdicts(candidate))).collect();
    for (candidate, verdicts) in results {
        for (site, reported) in verdicts {
            sites.entry(site).or_default().push((candidate, reported));
        }
    }
    use SyncKind::{BlockBarrier, CopyCommit, CopyWait, GridWait, WarpBarrier};
    for kind in [BlockBarrier, WarpBarrier, CopyCommit, CopyWait, GridWait] {
        assert!(sites.keys().any(|site| site.kind == kind), "no {kind:?} among {sites:#?}");
    }
    for (site, met) in &sites {
        for &(candidate, reported) in met {
            assert!(reported, "the {site} of {candidate} is dropped without a report");
        }
    }
}
