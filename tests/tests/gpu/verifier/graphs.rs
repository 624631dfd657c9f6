//! One graph of a whole step.

use dustin::cuda::{Graph, SideStream};
use dustin_tests::{
    gpu::{Gpu, text, trial},
    verifier::world::{Recipe, World},
};
use libtest_mimic::Trial;

use super::{engine, stream};

pub(super) fn trials() -> Vec<Trial> {
    vec![trial("a_verifiers_graph_replayed_for_other_batches_gives_the_bits_of_launches", replayed)]
}

/// Sequences around the budget and the threshold come, go and change places between replays of a graph that was captured once, with
/// the target's map beside the draft's, also where the verifier accepts and captures what the next step starts from. Allocating and waiting are errors during a capture, so this shows too that a step does neither.
fn replayed(gpu: &'static Gpu) -> Result<(), String> {
    let orders =
        [&[0, 1, 2, 3, 4, 5, 6, 7, 8][..], &[5, 4, 3], &[8, 1, 7, 2, 0], &[6], &[0, 1, 2, 3, 4, 5, 6, 7, 8]];
    let accepting = |recipe| Recipe { accepts: true, ..recipe };
    let recipes = [
        Recipe::usual(81),
        Recipe::all_asked(82),
        accepting(Recipe::usual(83)),
        accepting(Recipe::all_asked(84)),
    ];
    for recipe in recipes {
        let world = World::new(&recipe);
        let (stream, mut engine) = (stream(gpu)?, engine(gpu, &world)?);
        let mut side = SideStream::new(&gpu.context).map_err(text)?;
        let mut step = engine.step(&stream, &world.batch(orders[0])).map_err(text)?;
        let mut graph = Graph::capture(&stream, || {
            engine.choose(&stream, Some(&mut side), &step)?;
            engine.layers(&stream, &step)?;
            engine.settle(&stream, &step)
        })
        .map_err(text)?;
        for order in orders {
            let batch = world.batch(order);
            engine.renew(&stream, &mut step, &batch).map_err(text)?;
            let eager = engine.run(&stream, None, &step).map_err(text)?;
            eager.judge(&world, &batch).map_err(|error| format!("{order:?}: {error}"))?;
            engine.renew(&stream, &mut step, &batch).map_err(text)?;
            // SAFETY: what was captured lives in `engine`, `step` and `side`.
            unsafe { graph.launch(&stream) }.map_err(text)?;
            let replayed = engine.outcome(&stream, &step, eager.appended.clone()).map_err(text)?;
            if replayed.bits() != eager.bits() {
                return Err(format!("{order:?}: the replay differs from the launches"));
            }
        }
    }
    Ok(())
}
