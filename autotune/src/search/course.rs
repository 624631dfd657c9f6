//! The points that a search tries, one after another, and how many of them: the same for a device and for a replay.

use super::{
    history::History,
    method::{Method, MethodKind},
    space::Space,
};

/// Which points are tried: first the seeds, then what the method chooses.
pub(crate) struct Course<'a> {
    space: &'a Space,
    seeds: Vec<usize>,
    method: Box<dyn Method>,
    trials: usize,
}

impl<'a> Course<'a> {
    /// A course through all of `space`, whose order follows from `seed` and from the results.
    pub(crate) fn new(space: &'a Space, method: MethodKind, seed: u64) -> Self {
        Self { space, seeds: Vec::new(), method: method.start(seed), trials: space.len() }
    }

    /// Tries these points before any other, in this order, but after those that were named so before.
    pub(crate) fn from(mut self, seeds: impl IntoIterator<Item = usize>) -> Self {
        self.seeds.extend(seeds);
        self
    }

    /// Tries this point before the other seeds, right behind the default, even if one point was to be the most.
    pub(crate) fn certainly(mut self, seed: Option<usize>) -> Self {
        let behind_default = 1 + seed.iter().count();
        self.seeds.splice(..0, seed);
        self.trials = self.trials.max(behind_default).min(self.space.len());
        self
    }

    /// Ends after so many points.
    pub(crate) fn at_most(mut self, trials: usize) -> Self {
        self.trials = trials.min(self.space.len());
        self
    }

    /// How many points it tries.
    pub(crate) fn trials(&self) -> usize {
        self.trials
    }

    /// The next point; nothing at the end.
    pub(crate) fn next(&mut self, history: &History) -> Option<usize> {
        if history.trials().len() >= self.trials {
            return None;
        }
        let seed = self.seeds.iter().copied().find(|&seed| !history.tried(seed));
        seed.or_else(|| self.method.ask(self.space, history))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::space::Value;

    #[test]
    fn what_is_tried_for_certain_is_tried_however_few_the_trials() {
        let points: Vec<Vec<Value>> = (0..9).map(|number| vec![Value::Number(f64::from(number))]).collect();
        let space = Space::new(&points);
        let course = |trials| Course::new(&space, MethodKind::Random, 1).from([3]).at_most(trials);
        let mut history = History::new(9);
        history.tell(0, Some(1.0));
        assert_eq!(course(1).next(&history), None);
        assert_eq!(course(1).certainly(Some(5)).next(&history), Some(5));
        assert_eq!(course(1).certainly(None).next(&history), None);
        assert_eq!((course(1).certainly(Some(5)).trials(), course(4).certainly(Some(5)).trials()), (2, 4));
    }

    #[test]
    fn seeds_come_first_and_the_course_ends_after_its_trials() {
        let points: Vec<Vec<Value>> = (0..9).map(|number| vec![Value::Number(f64::from(number))]).collect();
        let space = Space::new(&points);
        let mut history = History::new(9);
        let mut course = Course::new(&space, MethodKind::Random, 1).from([7, 2, 7]).at_most(5);
        while let Some(point) = course.next(&history) {
            history.tell(point, Some(1.0));
        }
        let tried: Vec<usize> = history.trials().iter().map(|trial| trial.point).collect();
        assert_eq!((tried.len(), &tried[..2]), (5, &[7, 2][..]));
        assert_eq!(Course::new(&space, MethodKind::Random, 1).at_most(100).trials(), 9);
    }
}
