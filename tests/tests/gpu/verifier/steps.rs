//! Whole steps, launched one by one.

use dustin::{
    Dtype,
    cuda::{SideStream, Stream},
    select::problem::Fallback,
    verifier::Rules,
};
use dustin_kernels::attention::params::EVERYTHING;
use dustin_tests::{
    gpu::{Gpu, text, trial},
    ranks::SIZES,
    verifier::{
        cuda::{Engine, Step},
        outcome::{Outcome, references},
        world::{Recipe, World},
    },
};
use libtest_mimic::Trial;

use super::{engine, stream};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("a_verifiers_step_is_what_the_references_say", |gpu| {
            let recipes = [Recipe::usual(1), Recipe { dtype: Dtype::F16, ..Recipe::usual(2) }];
            recipes.iter().try_for_each(|recipe| around_the_threshold(gpu, recipe))
        }),
        trial("a_verifiers_step_with_all_that_can_be_asked_is_what_the_references_say", |gpu| {
            let recipes = [Recipe::all_asked(3), Recipe { dtype: Dtype::Bf16, ..Recipe::all_asked(4) }];
            recipes.iter().try_for_each(|recipe| around_the_threshold(gpu, recipe))
        }),
        trial("a_verifiers_sets_come_from_one_map_or_none_where_the_rules_say_so", one_map_or_none),
        trial("a_verifier_accepts_and_captures_what_the_next_step_starts_from", |gpu| {
            [Recipe::usual(7), Recipe::all_asked(8)].into_iter().try_for_each(|recipe| two_steps(gpu, recipe))
        }),
        trial("a_verifier_selects_all_planted_needles", needles),
        trial("sanitize_a_verifiers_step", |gpu| {
            let recipe = Recipe {
                lengths: vec![150, 60, 30],
                uncaptured: vec![1],
                max_batch: 4,
                ..Recipe::all_asked(6)
            };
            judged(gpu, &World::new(&recipe), &[0, 1, 2]).map(drop)
        }),
        trial("a_verifiers_ranks_sum_their_maps_and_select_the_same_sets", ranks),
    ]
}

/// One step of the sequences `order`, with the target's map on a stream of its own, judged.
fn judged(gpu: &Gpu, world: &World, order: &[usize]) -> Result<Outcome, String> {
    let (stream, engine, batch) = (stream(gpu)?, engine(gpu, world)?, world.batch(order));
    let mut side = SideStream::new(&gpu.context).map_err(text)?;
    let step = engine.step(&stream, &batch).map_err(text)?;
    let outcome = engine.run(&stream, Some(&mut side), &step).map_err(text)?;
    outcome.judge(world, &batch).map_err(|error| format!("{order:?}: {error}"))?;
    Ok(outcome)
}

fn two_steps(gpu: &Gpu, recipe: Recipe) -> Result<(), String> {
    let world = World::new(&Recipe { accepts: true, ..recipe });
    let order = [8, 0, 1, 2, 3, 5, 6, 7];
    let outcome = judged(gpu, &world, &order)?;
    let next = world.next(&world.batch(&order), &outcome, 9);
    let after = judged(gpu, &next, &order)?;
    // Sequence 8 had no query, so that all of its tokens were read; now it has.
    match (outcome.selected.set_sizes[0], after.selected.set_sizes[0]) {
        (EVERYTHING, 48) => Ok(()),
        other => Err(format!("sizes {other:?}")),
    }
}

fn around_the_threshold(gpu: &Gpu, recipe: &Recipe) -> Result<(), String> {
    let outcome = judged(gpu, &World::new(recipe), &[0, 1, 2, 3, 4, 5, 6, 7, 8])?;
    let all = EVERYTHING;
    let (sizes, expected) = (&outcome.selected.set_sizes, [48, all, 48, all, all, all, 0, 48, all, 0]);
    if *sizes != expected {
        return Err(format!("sets of {sizes:?} instead of {expected:?}"));
    }
    Ok(())
}

fn one_map_or_none(gpu: &'static Gpu) -> Result<(), String> {
    let changes: [fn(&mut Rules); 5] = [
        |rules| rules.m = 0,
        |rules| rules.m = 48,
        |rules| (rules.sinks, rules.recent) = (8, 40),
        |rules| rules.pooling = 5,
        |rules| rules.without_target = Fallback::Draft,
    ];
    changes.into_iter().try_for_each(|change| {
        let mut recipe = Recipe::usual(5);
        change(&mut recipe.rules);
        recipe.rules.everything = 0;
        judged(gpu, &World::new(&recipe), &[0, 4, 5, 8]).map(drop)
    })
}

fn needles(gpu: &'static Gpu) -> Result<(), String> {
    for seed in 0..3 {
        let lengths = vec![6000, 2500, 120];
        let recipe = Recipe { lengths, uncaptured: vec![], max_batch: 3, ..Recipe::usual(60 + seed) };
        let mut world = World::new(&recipe);
        let needles = [0, 1, 2].map(|sequence| world.plant(sequence, 4, seed));
        let outcome = judged(gpu, &world, &[0, 1, 2])?;
        let batch = world.batch(&[0, 1, 2]);
        let [reference, _] = references(&world, &batch)?;
        let (_, reference) = reference.ok_or("no target's map")?;
        for (index, needles) in needles.iter().enumerate() {
            let set = &outcome.selected.set[index * 48..][..48];
            let mut all = needles.target.iter().chain(&needles.draft);
            if let Some(position) = all.find(|position| set.binary_search(position).is_err()) {
                return Err(format!("seed {seed}, sequence {index}: {position} is not in {set:?}"));
            }
            let at = |&position: &i32| batch.map_starts[index] as usize + position as usize;
            let mass: f64 = set.iter().map(|position| reference.map[at(position)]).sum();
            let sum: f64 = set.iter().map(|position| f64::from(outcome.target_map[at(position)])).sum();
            if (mass - sum).abs() > 1e-4 {
                return Err(format!(
                    "seed {seed}, sequence {index}: the set's attention is {mass}, not {sum}"
                ));
            }
        }
    }
    Ok(())
}

/// The ranks take turns on one GPU; the collective is the host's.
fn ranks(gpu: &'static Gpu) -> Result<(), String> {
    let world = World::new(&Recipe::usual(70));
    let order = [0, 1, 2, 3, 5, 7, 8];
    let whole = judged(gpu, &world, &order)?;
    for tp_size in SIZES {
        let mut ranks = Vec::new();
        let mut sum = vec![0.0f32; whole.target_map.len()];
        for rank in 0..tp_size {
            let share = world.share(tp_size, rank);
            let (stream, engine) = (stream(gpu)?, engine(gpu, &share)?);
            let step = engine.step(&stream, &share.batch(&order)).map_err(text)?;
            engine.choose(&stream, None, &step).map_err(text)?;
            let part = step.target_map(&stream).map_err(text)?;
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            ranks.push((share, engine, stream, step));
        }
        let mut first = None;
        for (rank, (share, engine, stream, step)) in ranks.iter_mut().enumerate() {
            let batch = share.batch(&order);
            let outcome = from_sum(engine, stream, step, &sum)?;
            if *first.get_or_insert_with(|| outcome.selected.clone()) != outcome.selected {
                return Err(format!("rank {rank} of {tp_size} has a set of its own"));
            }
            outcome
                .judge_behind_the_maps(share, &batch)
                .map_err(|error| format!("rank {rank} of {tp_size}: {error}"))?;
        }
    }
    Ok(())
}

fn from_sum(engine: &Engine, stream: &Stream, step: &mut Step, sum: &[f32]) -> Result<Outcome, String> {
    step.put_target_map(stream, sum).map_err(text)?;
    engine.select(stream, step).map_err(text)?;
    engine.layers(stream, step).map_err(text)?;
    let appended = engine.caches(stream).map_err(text)?;
    engine.settle(stream, step).map_err(text)?;
    engine.outcome(stream, step, appended).map_err(text)
}
