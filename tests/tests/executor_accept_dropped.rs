//! Every synchronisation operation of the kernels of acceptance is needed, and the executor notices when it is missing.

use std::collections::BTreeMap;

use dustin::accept::{
    compare::compare,
    problem::{ScoreKind, ScoreType, Scores},
    synthetic::{AcceptInput, Contents, DraftShape, Recipe, SequenceShape},
};
use dustin_kernels::{
    executor::{Options, Site, SyncKind},
    registry::{ACCEPT_ROWS, ACCEPT_WALK, AcceptWalkVariant},
};
use dustin_tests::executor_accept::PreparedAccept;
use rayon::prelude::*;

/// Trees of many drafts that are mostly rejected, so that sums follow each other, and a race them.
fn input(seed: u64) -> AcceptInput {
    let scores = Scores { dtype: ScoreType::F32, kind: ScoreKind::Logits };
    let recipe = Recipe {
        vocabulary: 600,
        target: scores,
        draft: Some(DraftShape { scores, without_replacement: true }),
        tree: true,
        sequences: vec![SequenceShape { rows: 12, temperature: 1.0 }],
        new_lengths: true,
        spare: 0,
        padding: 0,
        contents: Contents { spread: 3.0, agreement: 0.0, coarse: false, infinities: false, seed },
    };
    AcceptInput::new(&recipe).expect("a valid recipe")
}

/// Whether the executor reports each synchronisation site that the launches of `walk` meet when that site alone is dropped.
fn verdicts(walk: &'static AcceptWalkVariant, input: &AcceptInput) -> Vec<(Site, bool)> {
    let prepare = || PreparedAccept::new(input, &ACCEPT_ROWS[0], walk).expect("launches that are possible");
    let mut whole = prepare();
    let whole_options = Options::default();
    let rows = whole.launch_rows(&whole_options).expect("nothing to report while nothing is dropped").syncs;
    let walks = whole.launch_walk(&whole_options).expect("nothing to report while nothing is dropped").syncs;
    compare(&input.problem, &input.arrays(), &whole.accepted()).unwrap_or_else(|error| panic!("{error}"));
    let dropped = |site| Options { dropped: Some(site), max_findings: 1, ..Options::default() };
    let of_rows = rows.into_iter().map(|(site, _)| (site, prepare().launch_rows(&dropped(site)).is_err()));
    let of_walk = walks.into_iter().map(|(site, _)| {
        let mut prepared = prepare();
        prepared.launch_rows(&whole_options).expect("nothing is dropped here");
        (site, prepared.launch_walk(&dropped(site)).is_err())
    });
    of_rows.chain(of_walk).collect()
}

#[test]
fn every_synchronisation_that_is_missing_is_reported() {
    let cases: Vec<_> = ACCEPT_WALK.iter().flat_map(|walk| (0..4).map(move |seed| (walk, seed))).collect();
    let results: Vec<_> =
        cases.into_par_iter().map(|(walk, seed)| (walk.id, verdicts(walk, &input(seed)))).collect();
    let mut sites: BTreeMap<(Site, &str), bool> = BTreeMap::new();
    for (walk, verdicts) in results {
        for (site, reported) in verdicts {
            *sites.entry((site, walk)).or_default() |= reported;
        }
    }
    let count = |kind| sites.keys().filter(|(site, _)| site.kind == kind).count();
    assert!(count(SyncKind::BlockBarrier) >= 4 && count(SyncKind::ClusterBarrier) >= 3, "{sites:#?}");
    for ((site, walk), reported) in sites {
        assert!(reported, "the {site} of {walk} is dropped without a report");
    }
}
