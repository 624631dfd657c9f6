//! Greedy addition, then descents through neighbourhoods.

use rand::{RngExt, SeedableRng, seq::IteratorRandom};
use rand_pcg::Pcg64Mcg;

use super::{
    Objective, Phase,
    evaluate::{Evaluator, Halt, Number},
    figures::Figure,
    goal::Goal,
    moves::Change,
    point::{Figures, Point},
    pool::Pool,
};
use crate::calibration::ModelRole;

/// Disturbances that find nothing better, one after another, after which a search ends.
const DISTURBANCES: u32 = 24;

/// What is added next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Greed {
    Gain,
    GainPerMicrosecond,
}

/// Adds heads greedily, then descends from `start`, from the best and from the front.
pub(super) fn grow_and_descend(
    evaluator: &mut Evaluator<'_, '_>,
    pool: &mut Pool,
    start: Number,
) -> Result<(), Halt> {
    let goal = Goal::from(evaluator.request.objective);
    evaluator.set_phase(Phase::Greedy);
    grow_both(evaluator, pool, goal)?;
    evaluator.set_phase(Phase::Local);
    descend(evaluator, pool, start, goal)?;
    if let Some(best) = evaluator.best() {
        descend(evaluator, pool, best, goal)?;
    }
    push_front(evaluator, pool)
}

/// Maps of either model alone, and the best of both together.
fn grow_both(evaluator: &mut Evaluator<'_, '_>, pool: &mut Pool, goal: Goal) -> Result<(), Halt> {
    let reference = Figures::of(evaluator.reference());
    let mut both = Point::new(reference);
    for (role, m) in [(ModelRole::Target, 0), (ModelRole::Draft, reference.k)] {
        let mut best: Option<Number> = None;
        for greed in [Greed::Gain, Greed::GainPerMicrosecond] {
            let grown = grow(evaluator, pool, (role, greed), Point::new(Figures { m, ..reference }), goal)?;
            best = best.into_iter().chain(grown).reduce(|best, it| {
                if goal.prefers(evaluator.candidate(it), evaluator.candidate(best)) { it } else { best }
            });
        }
        if let Some(best) = best {
            let heads = evaluator.point(best).heads(role).clone();
            pool.set_together(role, heads.clone());
            *both.heads_mut(role) = heads;
        }
    }
    Figure::Quota.best(evaluator, &both, pool, goal)?;
    Ok(())
}

/// Adds to `point` what gains most, until nothing gains or the goal is met; what was best on the way.
fn grow(
    evaluator: &mut Evaluator<'_, '_>,
    pool: &Pool,
    (role, greed): (ModelRole, Greed),
    mut point: Point,
    goal: Goal,
) -> Result<Option<Number>, Halt> {
    if !evaluator.request.space.is_searched(role) {
        return Ok(None);
    }
    let mut best: Option<Number> = None;
    let [mut share, mut cost] = [0.0, 0.0];
    loop {
        let mut next: Option<(f64, Point, Number)> = None;
        for candidate in Change::Add.of(&point, pool, &evaluator.request.space) {
            let number = evaluator.evaluate(&candidate)?;
            let judged = evaluator.candidate(number);
            let gain = judged.share_low - share;
            let score = match greed {
                Greed::Gain => gain,
                // Less than a nanosecond is not measured.
                Greed::GainPerMicrosecond => gain / (judged.estimation_us - cost).max(1e-3),
            };
            if gain > 0.0 && next.as_ref().is_none_or(|(most, ..)| score > *most) {
                next = Some((score, candidate, number));
            }
        }
        let Some((_, candidate, number)) = next else { return Ok(best) };
        let judged = evaluator.candidate(number);
        [share, cost] = [judged.share_low, judged.estimation_us];
        if best.is_none_or(|best| goal.prefers(judged, evaluator.candidate(best))) {
            best = Some(number);
        }
        if matches!(goal, Goal::Share(_)) && goal.is_met(judged) {
            return Ok(best);
        }
        point = candidate;
    }
}

/// From a candidate to one that no neighbour is better than: fewer heads are tried first, then other figures,
/// more heads, others.
fn descend(
    evaluator: &mut Evaluator<'_, '_>,
    pool: &Pool,
    mut at: Number,
    goal: Goal,
) -> Result<Number, Halt> {
    'better: loop {
        for change in [Some(Change::Drop), None, Some(Change::Add), Some(Change::Swap)] {
            let point = evaluator.point(at).clone();
            let mut next = at;
            let mut prefer = |evaluator: &Evaluator<'_, '_>, it| {
                if goal.prefers(evaluator.candidate(it), evaluator.candidate(next)) {
                    next = it;
                }
            };
            match change {
                Some(change) => {
                    for point in change.of(&point, pool, &evaluator.request.space) {
                        if evaluator.is_of_use(&point)? {
                            let number = evaluator.evaluate(&point)?;
                            prefer(evaluator, number);
                        }
                    }
                }
                None => {
                    for figure in Figure::ALL {
                        if let Some(number) = figure.best(evaluator, &point, pool, goal)? {
                            prefer(evaluator, number);
                        }
                    }
                }
            }
            if next != at {
                at = next;
                continue 'better;
            }
        }
        return Ok(at);
    }
}

/// Descends from what stands on the front, each at its own cost, until no more of it gets better. Where a
/// share is asked for, that is what is cheaper than the best, and may come to keep the share.
fn push_front(evaluator: &mut Evaluator<'_, '_>, pool: &Pool) -> Result<(), Halt> {
    let mut pushed = Vec::new();
    loop {
        let best = evaluator.best();
        let front = evaluator.front();
        let next = front.into_iter().rev().find(|number| {
            let is_cheaper = |best: Number| {
                evaluator.candidate(*number).estimation_us < evaluator.candidate(best).estimation_us
            };
            let matters = match evaluator.request.objective {
                Objective::Front => true,
                Objective::Share(share) => {
                    best.is_none_or(|best| is_cheaper(best) || evaluator.candidate(best).share_low < share)
                }
            };
            matters && !pushed.contains(number)
        });
        let Some(next) = next else { return Ok(()) };
        pushed.push(next);
        let most = evaluator.candidate(next).estimation_us;
        pushed.push(descend(evaluator, pool, next, Goal::Within(most))?);
    }
}

/// Changes at random what stands on the front, and descends again, until that is in vain.
pub(super) fn disturb(evaluator: &mut Evaluator<'_, '_>, pool: &Pool) -> Result<(), Halt> {
    let goal = Goal::from(evaluator.request.objective);
    let mut rng = Pcg64Mcg::seed_from_u64(evaluator.request.seed);
    let standing = |evaluator: &Evaluator<'_, '_>| match evaluator.request.objective {
        Objective::Front => evaluator.front(),
        Objective::Share(_) => evaluator.best().into_iter().collect(),
    };
    let mut vain = 0;
    while vain < DISTURBANCES {
        let before = standing(evaluator);
        let Some(number) = evaluator.front().into_iter().choose(&mut rng) else { return Ok(()) };
        let mut point = evaluator.point(number).clone();
        for _ in 0..rng.random_range(1..=3) {
            let changes = [Change::Drop, Change::Add, Change::Swap, Change::Swap];
            let change = changes[rng.random_range(0..changes.len())];
            let changed = change.of(&point, pool, &evaluator.request.space).into_iter();
            point = changed.choose(&mut rng).unwrap_or(point);
        }
        point = Figure::Quota
            .values(&point, pool, &evaluator.request.space)
            .into_iter()
            .choose(&mut rng)
            .unwrap_or(point);
        let disturbed = evaluator.evaluate(&point)?;
        let most = evaluator.candidate(number).estimation_us;
        for goal in [goal, Goal::Within(most)] {
            descend(evaluator, pool, disturbed, goal)?;
        }
        push_front(evaluator, pool)?;
        vain = if standing(evaluator) == before { vain + 1 } else { 0 };
    }
    Ok(())
}
