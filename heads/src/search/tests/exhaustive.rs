//! Small spaces gone through as a whole.

use rayon::prelude::*;

use super::*;

/// 6 heads of the target, 3 of the draft, three quotas.
fn small(seed: u64) -> (Synthetic, SearchRequest) {
    let plan = SyntheticPlan { searched: 6, prompt_tokens: 384, continuation: 20, ..tiny(seed) };
    let synthetic = Synthetic::new(&plan).unwrap();
    let mut space = space(&synthetic.capture);
    space.target.candidates = 3;
    space.draft = space.draft.map(|draft| HeadSpace { layers: vec![1], candidates: 3, ..draft });
    space.quotas = vec![0, 10, 20];
    let request =
        SearchRequest { objective: Objective::Front, reliability: None, ..SearchRequest::share(space, 1.0) };
    (synthetic, request)
}

#[test]
fn guided_and_exhaustive_searches_agree_on_small_spaces() {
    (0..12_u64).into_par_iter().for_each(|seed| {
        let (synthetic, front) = small(seed);
        let exhaustive = SearchRequest { method: Method::Exhaustive, ..front.clone() };
        let all = run(&synthetic, &mut modelled, &exhaustive).unwrap();
        // 2^6 - 1 sets of the target's heads, 2^3 - 1 of the draft's, and as a quota of 20 leaves the target
        // nothing, both with that of 10; besides, the draft's heads alone with a quota of all.
        assert_eq!(all.evaluations, 63 + 7 + 63 * 7 + 3);
        let guided = run(&synthetic, &mut modelled, &front).unwrap();
        assert_eq!(guided.front, all.front, "{seed}");
        assert_eq!((&guided.best, guided.ended), (all.front.last().unwrap(), Ended::Converged));
        // What is cheapest for a share stands on the front.
        for best in &all.front {
            let objective = Objective::Share(best.share_low);
            let found =
                run(&synthetic, &mut modelled, &SearchRequest { objective, ..front.clone() }).unwrap();
            assert_eq!(found.chosen.as_ref(), Some(best), "{seed}");
        }
    });
}

#[test]
fn figures_are_found_among_all_that_there_are() {
    for seed in 0..8 {
        let (synthetic, front) = small(seed);
        let mut space = front.space.clone();
        space.target = HeadSpace { layers: vec![3], candidates: 1, ..space.target };
        space.draft = space.draft.map(|draft| HeadSpace { candidates: 1, ..draft });
        space.quotas = (0..=20).collect();
        space.pooling = vec![1, 3, 5];
        space.recent = vec![0, 4, 8, 12];
        let guided = SearchRequest { space, ..front };
        let exhaustive = SearchRequest { method: Method::Exhaustive, ..guided.clone() };
        let [guided, exhaustive] =
            [guided, exhaustive].map(|it| run(&synthetic, &mut modelled, &it).unwrap());
        assert_eq!(guided.best, exhaustive.best, "{seed}");
        assert!(guided.evaluations < exhaustive.evaluations, "{seed}: {}", guided.evaluations);
    }
}

#[test]
fn spaces_of_more_candidates_than_evaluations_are_refused() {
    let (synthetic, front) = small(0);
    let exhaustive = SearchRequest { method: Method::Exhaustive, evaluations: 500, ..front };
    let message = run(&synthetic, &mut modelled, &exhaustive).unwrap_err().to_string();
    assert!(
        message.starts_with("head search: evaluations must be as many as the space has candidates"),
        "{message}"
    );
    let wide = SearchSpace { quotas: vec![0], ..space(&synthetic.capture) };
    let exhaustive = SearchRequest { space: wide, ..exhaustive };
    assert!(
        run(&synthetic, &mut modelled, &exhaustive)
            .unwrap_err()
            .to_string()
            .contains("candidates, which are more")
    );
}
