//! All candidates of a small space.

use std::collections::BTreeSet;

use super::{
    Phase, SearchSpace,
    error::invalid,
    evaluate::{Evaluator, Halt},
    point::{Figures, Head, Point, fits},
    pool::Pool,
};
use crate::calibration::ModelRole;

/// Judges every candidate of the space that reads heads of `pool`, if the evaluations suffice.
pub(super) fn run(evaluator: &mut Evaluator<'_, '_>, pool: &Pool) -> Result<(), Halt> {
    evaluator.set_phase(Phase::Exhaustive);
    let most = evaluator.request.evaluations as usize;
    let too_many = || {
        let required = "as many as the space has candidates, which are more; or ask for a guided search";
        Halt::Failed(invalid("evaluations", required, most))
    };
    let space = &evaluator.request.space;
    let target = sets(pool, space, ModelRole::Target, most).ok_or_else(too_many)?;
    let draft = sets(pool, space, ModelRole::Draft, most).ok_or_else(too_many)?;
    let mut points = BTreeSet::new();
    for figures in all_figures(space) {
        let base = Point::new(figures);
        // Where a map is not read, its first set stands for all: it is empty.
        let read = |role, sets: &[BTreeSet<Head>]| if base.reads(role) { sets.len() } else { 1 };
        for target in &target[..read(ModelRole::Target, &target)] {
            for draft in &draft[..read(ModelRole::Draft, &draft)] {
                points.insert(Point { target: target.clone(), draft: draft.clone(), figures });
            }
            if points.len() > most {
                return Err(too_many());
            }
        }
    }
    for point in points.iter().filter(|point| point.is_within(space)) {
        evaluator.evaluate(point)?;
    }
    Ok(())
}

/// All sets of heads that fit the space; nothing if there are more than `most`.
fn sets(pool: &Pool, space: &SearchSpace, role: ModelRole, most: usize) -> Option<Vec<BTreeSet<Head>>> {
    let mut sets = vec![BTreeSet::new()];
    for member in pool.of(role) {
        for index in 0..sets.len() {
            let mut set = sets[index].clone();
            set.insert(member.head);
            // What exceeds a limit does so with more heads, too.
            if fits(&set, space, role) {
                sets.push(set);
            }
        }
        if sets.len() > most.saturating_add(1) {
            return None;
        }
    }
    Some(sets)
}

fn all_figures(space: &SearchSpace) -> Vec<Figures> {
    let mut all = Vec::new();
    for &k in &space.budgets {
        for &m in space.quotas.iter().filter(|&&quota| quota <= k) {
            for &sinks in &space.sinks {
                for &recent in &space.recent {
                    all.extend(space.pooling.iter().map(|&pooling| Figures { k, m, sinks, recent, pooling }));
                }
            }
        }
    }
    all
}
