//! The best value of a figure, by bracketing.

use std::collections::BTreeMap;

use super::{
    SearchSpace,
    evaluate::{Evaluator, Halt, Number},
    goal::Goal,
    point::{Figures, Point},
    pool::Pool,
};
use crate::calibration::ModelRole;

/// Values of a list that are looked at before any is refined: its ends and three between.
const COARSE: usize = 5;

/// A figure that lists of the space say the values of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    Quota,
    Budget,
    Pooling,
    Sinks,
    Recent,
}

impl Figure {
    pub(super) const ALL: [Self; 5] = [Self::Quota, Self::Budget, Self::Pooling, Self::Sinks, Self::Recent];

    fn list(self, space: &SearchSpace) -> &[u32] {
        match self {
            Self::Quota => &space.quotas,
            Self::Budget => &space.budgets,
            Self::Pooling => &space.pooling,
            Self::Sinks => &space.sinks,
            Self::Recent => &space.recent,
        }
    }

    const fn of(self, figures: &mut Figures) -> &mut u32 {
        match self {
            Self::Quota => &mut figures.m,
            Self::Budget => &mut figures.k,
            Self::Pooling => &mut figures.pooling,
            Self::Sinks => &mut figures.sinks,
            Self::Recent => &mut figures.recent,
        }
    }

    /// What `point` becomes by each value that it may have; a map that it has not read so far gets heads.
    pub(super) fn values(self, point: &Point, pool: &Pool, space: &SearchSpace) -> Vec<Point> {
        let with = |&value: &u32| {
            let mut point = point.clone();
            *self.of(&mut point.figures) = value;
            for role in ModelRole::ALL {
                if point.reads(role) && point.heads(role).is_empty() {
                    *point.heads_mut(role) = pool.together(role).clone();
                }
            }
            point.is_within(space).then_some(point)
        };
        self.list(space).iter().filter_map(with).collect()
    }

    /// The best that `point` becomes by another value. The list's ends, middle and quarters are judged, then,
    /// as long as there are any, the middles between the best and its neighbours: nothing is taken for
    /// unimodal but what lies between two that were judged.
    pub(super) fn best(
        self,
        evaluator: &mut Evaluator<'_, '_>,
        point: &Point,
        pool: &Pool,
        goal: Goal,
    ) -> Result<Option<Number>, Halt> {
        let points = self.values(point, pool, &evaluator.request.space);
        let mut judged: BTreeMap<usize, Number> = BTreeMap::new();
        let last = points.len().saturating_sub(1);
        let mut wanted: Vec<usize> = (0..COARSE).map(|part| last * part / (COARSE - 1)).collect();
        let mut best = None;
        while !points.is_empty() && !wanted.is_empty() {
            for index in wanted.drain(..) {
                judged.insert(index, evaluator.evaluate(&points[index])?);
            }
            best = judged.iter().map(|(&index, &number)| (index, number)).reduce(|best, it| {
                if goal.prefers(evaluator.candidate(it.1), evaluator.candidate(best.1)) { it } else { best }
            });
            let Some((at, _)) = best else { break };
            let below = judged.range(..at).next_back().map(|(&index, _)| index.midpoint(at));
            let above = judged.range(at + 1..).next().map(|(&index, _)| index.midpoint(at));
            wanted = below.into_iter().chain(above).filter(|index| !judged.contains_key(index)).collect();
        }
        Ok(best.map(|(_, number)| number))
    }
}
