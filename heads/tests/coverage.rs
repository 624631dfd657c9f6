//! How often bounds hold that are computed on a few held-out prompts, and how much they give away: over many draws of prompts of one
//! made-up capture, whose means over all of them are known.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use dustin::{geometry::Geometry, profile::LayerHeads, verifier::Rules};
use dustin_heads::{
    calibration::PromptRole,
    fidelity::{Bound, Estimate, Judge, StepPlan, lower_bound_of_mean, lower_bound_of_share},
    synthetic::{ModelShape, Placement, Synthetic, SyntheticPlan},
};
use rand::{SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64Mcg;

const DRAWS: usize = 500;

/// Prompts that a selection is chosen on.
const SEARCHED: usize = 6;

const HEADS: u32 = 16;

/// 95 %, less two standard errors of the share of draws that hold.
const LEAST_COVERAGE: f64 = 0.9305;

/// Two heads that are chosen together.
type Pair = [u32; 2];

/// Recovery rates of all prompts of one role.
struct Rates {
    pairs: BTreeMap<Pair, Vec<f64>>,
    full_heads: Vec<f64>,
}

/// What was searched and what it is judged by.
struct Study {
    /// The searched prompts of each draw.
    draws: Vec<Vec<usize>>,
    /// By draw: the two heads that alone keep most of its searched prompts.
    chosen: Vec<Pair>,
    searched: Rates,
    held_out: Rates,
}

static STUDY: LazyLock<Study> = LazyLock::new(|| {
    let geometry = Geometry {
        layers: 1,
        query_heads: HEADS,
        kv_heads: 1,
        head_dim: 64,
        hidden: 512,
        intermediate: 1024,
        vocabulary: 1000,
    };
    let plan = SyntheticPlan {
        seed: 5,
        target: ModelShape {
            geometry,
            layers: vec![0],
            planted: 2,
            placement: Placement::Anywhere,
            decoys: 4,
        },
        draft: None,
        searched: (DRAWS * SEARCHED) as u32,
        held_out: 4000,
        prompt_tokens: 256,
        continuation: 20,
        decoy_share: 0.75,
    };
    let capture = Synthetic::new(&plan).unwrap().capture;
    let judge = |role| {
        let prompts = capture.require_prompts(role).unwrap();
        Judge::new(&capture, &prompts, StepPlan { gamma: 3, most: 4 }, 2, 0).unwrap()
    };
    let (mut on_searched, mut on_held_out) = (judge(PromptRole::Searched), judge(PromptRole::HeldOut));
    let alone: Vec<Vec<f64>> =
        (0..HEADS).map(|head| on_searched.rules(&rules(&[head])).unwrap().by_prompt()).collect();
    let best = |prompts: &Vec<usize>| {
        let mut heads: Vec<u32> = (0..HEADS).collect();
        let rate = |head: u32| mean(&of(&alone[head as usize], prompts));
        heads.sort_by(|&a, &b| rate(b).total_cmp(&rate(a)));
        let mut pair = [heads[0], heads[1]];
        pair.sort_unstable();
        pair
    };
    let draws = draws(DRAWS * SEARCHED, SEARCHED, 1);
    let chosen: Vec<Pair> = draws.iter().map(best).collect();
    let rates = |judge: &mut Judge<'_>| Rates {
        pairs: chosen
            .iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .map(|pair| (*pair, judge.rules(&rules(pair)).unwrap().by_prompt()))
            .collect(),
        full_heads: judge.estimate(Estimate::FullHeads, &rules(&[0])).unwrap().by_prompt(),
    };
    let (searched, held_out) = (rates(&mut on_searched), rates(&mut on_held_out));
    Study { draws, chosen, searched, held_out }
});

fn rules(heads: &[u32]) -> Rules {
    let heads = vec![LayerHeads { layer: 0, heads: heads.to_vec() }];
    Rules { sinks: 4, recent: 16, ..Rules::by_target(heads, 64) }
}

fn mean(rates: &[f64]) -> f64 {
    rates.iter().sum::<f64>() / rates.len() as f64
}

fn of(rates: &[f64], prompts: &[usize]) -> Vec<f64> {
    prompts.iter().map(|&prompt| rates[prompt]).collect()
}

/// As many draws of `count` prompts of `all`: each prompt is in one of them before any is in a second.
fn draws(all: usize, count: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut drawn = Vec::new();
    while drawn.len() < DRAWS {
        let mut prompts: Vec<usize> = (0..all).collect();
        prompts.shuffle(&mut rng);
        drawn.extend(prompts.chunks_exact(count).map(<[usize]>::to_vec));
    }
    drawn.truncate(DRAWS);
    drawn
}

/// What the bounds of 500 draws come to.
struct Judged {
    /// The share of the draws whose bound lies at or below the truth.
    coverage: f64,
    /// The median of what lies between.
    slack: f64,
}

impl Judged {
    /// Of pairs of bound and truth.
    fn new(bounds: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut slack: Vec<f64> = bounds.map(|(bound, truth)| truth - bound).collect();
        assert_eq!(slack.len(), DRAWS);
        slack.sort_by(f64::total_cmp);
        let held = slack.iter().filter(|&&slack| slack >= 0.0).count();
        Self { coverage: held as f64 / DRAWS as f64, slack: slack[DRAWS / 2] }
    }
}

/// The bounds of the chosen pairs' recovery rates, and of their shares of full-head estimation, on `prompts` of `rates`; what is true is
/// said by all held-out prompts.
fn bounds(rates: &Rates, prompts: &[Vec<usize>]) -> [Judged; 2] {
    let truth = &STUDY.held_out;
    let full = mean(&truth.full_heads);
    let draws = || prompts.iter().zip(&STUDY.chosen);
    let recovery = draws().map(|(prompts, pair)| {
        let bound = lower_bound_of_mean(&of(&rates.pairs[pair], prompts), Bound::default());
        (bound.unwrap(), mean(&truth.pairs[pair]))
    });
    let share = draws().map(|(prompts, pair)| {
        let (pair_rates, full_rates) = (of(&rates.pairs[pair], prompts), of(&rates.full_heads, prompts));
        let bound = lower_bound_of_share(&pair_rates, &full_rates, Bound::default());
        (bound.unwrap(), mean(&truth.pairs[pair]) / full)
    });
    [Judged::new(recovery), Judged::new(share)]
}

#[test]
fn bounds_on_held_out_prompts_hold_for_what_was_chosen_on_others() {
    let held_out = &STUDY.held_out;
    for prompts in [8, 16, 32] {
        let judged = bounds(held_out, &draws(held_out.full_heads.len(), prompts, 2));
        for (of, Judged { coverage, slack }) in ["recovery", "share"].into_iter().zip(judged) {
            println!("{of}, {prompts} prompts: coverage {coverage:.3}, median slack {slack:.4}");
            assert!(coverage >= LEAST_COVERAGE, "{of}, {prompts} prompts: {coverage}");
            assert!((0.0..=0.02).contains(&slack), "{of}, {prompts} prompts: {slack}");
        }
    }
}

#[test]
fn bounds_on_the_prompts_that_were_searched_promise_too_much() {
    let judged = bounds(&STUDY.searched, &STUDY.draws);
    for (of, Judged { coverage, .. }) in ["recovery", "share"].into_iter().zip(judged) {
        println!("{of}: coverage {coverage:.3}");
        assert!(coverage < 0.9, "{of}: {coverage}");
    }
}
