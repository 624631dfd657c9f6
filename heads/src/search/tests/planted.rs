//! Planted heads are found, decoys are not.

use rayon::prelude::*;

use super::*;

/// Within so many evaluations, 3 planted heads are found among 16 of which 4 are decoys.
const EVALUATIONS: u32 = 48;

fn have_any(layers: &[LayerHeads], of: &[LayerHeads]) -> bool {
    let is_of = |layer: u32, head: &u32| of.iter().any(|it| it.layer == layer && it.heads.contains(head));
    layers.iter().any(|it| it.heads.iter().any(|head| is_of(it.layer, head)))
}

#[test]
fn planted_heads_are_all_found_and_decoys_are_not() {
    let outcome = |seed| {
        let synthetic = Synthetic::new(&SyntheticPlan { draft: None, ..tiny(seed) }).unwrap();
        let request = SearchRequest {
            objective: Objective::Front,
            evaluations: EVALUATIONS,
            ..SearchRequest::share(space(&synthetic.capture), 1.0)
        };
        let found = run(&synthetic, &mut modelled, &request).unwrap();
        assert_eq!(found.ended, Ended::Converged);
        let PlantedHeads { planted, decoys } = &synthetic.target;
        let decoyed = found.front.iter().any(|it| have_any(&it.rules.target_heads, decoys));
        [found.best.rules.target_heads == *planted, decoyed]
    };
    let outcomes: Vec<[bool; 2]> = (0..100).into_par_iter().map(outcome).collect();
    let [found, decoyed] = [0, 1].map(|which| outcomes.iter().filter(|it| it[which]).count());
    // A decoy that is as good as planted on every searched prompt cannot be told from one.
    assert!(
        found >= 95 && decoyed <= 1,
        "all planted heads and no others in {found}, decoys in {decoyed} of 100"
    );
}
