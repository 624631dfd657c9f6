//! What is asked, and what is refused.

use std::path::Path;

use super::*;

/// A capture whose planted heads are found in no time.
fn quick() -> (Synthetic, SearchRequest) {
    let plan = SyntheticPlan { searched: 6, prompt_tokens: 384, continuation: 20, ..tiny(0) };
    let synthetic = Synthetic::new(&plan).unwrap();
    let space = SearchSpace { quotas: vec![0, 5, 10, 15, 20], ..space(&synthetic.capture) };
    (synthetic, SearchRequest::share(space, 0.95))
}

#[test]
fn the_start_is_the_recipe_within_the_space() {
    let (synthetic, request) = quick();
    let space = SearchSpace::of_capture(&synthetic.capture, 64).unwrap();
    let found = run(&synthetic, &mut modelled, &SearchRequest { space, evaluations: 60, ..request }).unwrap();
    assert_eq!(counts(&found.start.rules.target_heads), [4]);
    // Two draft layers were captured.
    assert_eq!(counts(&found.start.rules.draft_heads), [4, 4]);
    assert_eq!((found.start.rules.k, found.start.rules.m), (64, 32));
    assert_eq!(found.start.estimation_us, modelled(&found.start.rules));
    assert!(found.start.share_low < found.start.share && found.best.share_low >= found.start.share_low);
}

#[test]
fn a_captures_own_ranking_seeds_the_search() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/calibration.safetensors");
    let capture = crate::Capture::open(Path::new(path)).unwrap();
    let prompts = capture.require_prompts(PromptRole::Searched).unwrap();
    let mut judge = Judge::new(&capture, &prompts, PLAN, 2, 1 << 20).unwrap();
    let all = HeadSpace { layers: vec![0, 1], most_layers: 1, most_heads: 1, candidates: 1 };
    let space = SearchSpace {
        target: all.clone(),
        draft: Some(all),
        budgets: vec![12],
        quotas: vec![0, 3, 6],
        pooling: vec![1, 3],
        sinks: vec![1],
        recent: vec![4],
    };
    let rankings = Rankings::of_capture(&capture).unwrap();
    let request = SearchRequest { start: Start::Ranking, ..SearchRequest::share(space, 0.5) };
    let found =
        search(&mut judge, &mut modelled, &request, &rankings, &mut |_| ControlFlow::Continue(())).unwrap();
    // The fixture's copying heads.
    let heads = |layer, head| vec![LayerHeads { layer, heads: vec![head] }];
    assert_eq!(
        (&found.start.rules.target_heads, &found.start.rules.draft_heads),
        (&heads(1, 2), &heads(1, 1))
    );
    assert!(found.chosen.unwrap().share_low >= 0.5);
}

#[test]
fn a_search_finds_the_same_again_and_keeps_within_its_evaluations() {
    let (synthetic, request) = quick();
    for objective in [Objective::Share(1.0), Objective::Front] {
        let request = SearchRequest { objective, ..request.clone() };
        let found = run(&synthetic, &mut modelled, &request).unwrap();
        assert_eq!(run(&synthetic, &mut modelled, &request).unwrap(), found);
        assert_eq!(found.ended, Ended::Converged);
        for evaluations in [1, 2, 20, 45] {
            let found =
                run(&synthetic, &mut modelled, &SearchRequest { evaluations, ..request.clone() }).unwrap();
            assert!(found.evaluations <= evaluations, "{}", found.evaluations);
            assert_eq!(Some(&found.best), found.front.last());
        }
    }
}

#[test]
fn a_search_that_is_stopped_returns_the_best_so_far() {
    let (synthetic, request) = quick();
    let mut judge = judge(&synthetic, PromptRole::Searched);
    for most in [0, 10, 40] {
        let mut said = Vec::new();
        let mut progress = |progress: Progress<'_>| {
            said.push((progress.phase, progress.best.cloned()));
            assert_eq!(progress.most, request.evaluations);
            if progress.evaluations < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let found = search(&mut judge, &mut modelled, &request, &Rankings::default(), &mut progress).unwrap();
        let (_, best) = said.last().cloned().unwrap();
        assert_eq!(found.ended, Ended::Stopped);
        // The start is judged in any case.
        assert_eq!(found.evaluations, most.max(1) + u32::from(most == 10));
        if most == 40 {
            assert_eq!(found.chosen, best);
            assert!(said.iter().any(|it| it.0 == Phase::Greedy));
        }
        assert!(!found.front.is_empty());
    }
}

#[test]
fn a_share_that_nothing_keeps_leaves_the_best_that_there_is() {
    let (synthetic, request) = quick();
    let request = SearchRequest { objective: Objective::Share(1.5), evaluations: 300, ..request };
    let found = run(&synthetic, &mut modelled, &request).unwrap();
    assert_eq!(found.chosen, None);
    assert_eq!(Some(&found.best), found.front.last());
    assert!(found.best.share_low > found.start.share_low && found.best.share_low < 1.5);
}

#[test]
fn unreliable_heads_serve_where_reliable_ones_do_not_keep_the_share() {
    let (synthetic, request) = quick();
    let front = |reliability| {
        let request = SearchRequest { objective: Objective::Front, reliability, ..request.clone() };
        run(&synthetic, &mut modelled, &request).unwrap()
    };
    let [reliable, all] = [front(Some(0.1)), front(None)].map(|it| it.best.share_low);
    assert!(reliable < all, "{reliable} {all}");
    let request = SearchRequest { objective: Objective::Share(f64::midpoint(reliable, all)), ..request };
    let found = run(&synthetic, &mut modelled, &request).unwrap();
    assert!(found.chosen.unwrap().share_low > reliable);
}

#[test]
fn a_capture_without_a_draft_is_searched_for_target_heads() {
    let synthetic = Synthetic::new(&SyntheticPlan { draft: None, ..tiny(1) }).unwrap();
    let space = SearchSpace::of_capture(&synthetic.capture, 64).unwrap();
    assert_eq!((space.draft.as_ref(), &space.quotas[..]), (None, &[0][..]));
    let found = run(&synthetic, &mut modelled, &SearchRequest::share(space, 0.95)).unwrap();
    assert!(found.front.iter().all(|it| it.rules.m == 0 && it.rules.draft_heads.is_empty()));
    assert!(found.chosen.unwrap().share_low >= 0.95);
    assert!(found.screened.iter().all(|head| head.model == crate::calibration::ModelRole::Target));
}

#[test]
fn what_a_search_cannot_do_is_refused_by_name() {
    let (synthetic, good) = quick();
    let message = |change: &dyn Fn(&mut SearchRequest)| {
        let mut request = good.clone();
        change(&mut request);
        run(&synthetic, &mut modelled, &request).unwrap_err().to_string()
    };
    let start = |rules: Rules| message(&|it| it.start = Start::Rules(rules.clone()));
    assert!(message(&|it| it.space.budgets = Vec::new()).contains("budgets must be at least one number"));
    assert!(message(&|it| it.space.budgets = vec![0, 32]).contains("budgets must be from 1 to 4096"));
    assert!(message(&|it| it.space.quotas = vec![0, 33]).contains("quotas must be at most 32"));
    assert!(message(&|it| it.space.pooling = vec![1, 4]).contains("pooling must be odd"));
    assert!(
        message(&|it| it.space.recent = vec![8, 29]).contains("sinks + recent must be together at most 32")
    );
    assert!(
        message(&|it| it.space.target.layers = vec![1, 2]).contains("captured layers of the target, [1, 3]")
    );
    assert!(
        message(&|it| it.space.target.layers = Vec::new()).contains("target.layers must be at least one")
    );
    assert!(message(&|it| it.space.target.most_heads = 0).contains("target must be at least one layer"));
    assert!(message(&|it| it.space.draft = None).contains("quotas must be 0 alone"));
    assert!(message(&|it| it.space.sinks = vec![4, 4]).contains("none twice"));
    assert!(
        message(&|it| it.objective = Objective::Share(f64::NAN)).contains("share must be a number above 0")
    );
    assert!(message(&|it| it.reliability = Some(2.0)).contains("reliability must be from 0 to 1"));
    assert!(message(&|it| it.evaluations = 0).contains("evaluations must be at least 1"));
    assert!(message(&|it| it.bound.confidence = 1.0).contains("bound.confidence"));
    assert!(message(&|it| it.bound.resamples = 0).contains("bound.resamples"));
    assert!(start(Rules::by_target(Vec::new(), 16)).contains("start must be within the space"));
    let blocks = Rules { block: 4, ..Rules::by_target(Vec::new(), 32) };
    assert!(start(blocks).contains("start must be without blocks"));
    let plan = SyntheticPlan { searched: 2, held_out: 2, prompt_tokens: 384, continuation: 20, ..tiny(0) };
    let synthetic = Synthetic::new(&plan).unwrap();
    let on = |prompts: &[u32]| {
        let mut judge = Judge::new(&synthetic.capture, prompts, PLAN, 1, 0).unwrap();
        let mut progress = |_: Progress<'_>| ControlFlow::Continue(());
        let found = search(&mut judge, &mut modelled, &good, &Rankings::default(), &mut progress);
        found.unwrap_err().to_string()
    };
    assert!(on(&[0]).contains("prompts must be at least two"));
    assert!(on(&[0, 1, 3]).contains("prompts must be searched ones, but is prompt 3, which is held out"));
}

#[test]
fn a_time_that_cannot_be_told_ends_the_search_and_names_the_rules() {
    struct Lost;
    impl Cost for Lost {
        fn estimation_us(&mut self, _: &Rules) -> Result<f64, Box<dyn std::error::Error + Send + Sync>> {
            Err("the device was lost".into())
        }
    }
    let (synthetic, request) = quick();
    let lost = run(&synthetic, &mut Lost, &request).unwrap_err().to_string();
    assert!(
        lost.contains("estimation time of rules with k = 32, m = 0, target heads layer 1: [0]"),
        "{lost}"
    );
    assert!(lost.contains("the device was lost"), "{lost}");
    let no_time = run(&synthetic, &mut |_: &Rules| f64::NAN, &request).unwrap_err().to_string();
    assert!(no_time.contains("NaN microseconds are no time"), "{no_time}");
}
