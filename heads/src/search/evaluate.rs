//! Judging candidates, each once, as long as there are evaluations.

use std::{collections::HashMap, ops::ControlFlow};

use dustin::verifier::Rules;

use super::{
    Candidate, Cost, Ended, Objective, Phase, Progress, SearchError, SearchRequest,
    point::{Figures, Point},
};
use crate::fidelity::{Estimate, Judge, RecoveryRate, lower_bound_of_share};

/// Why no further candidate is judged.
pub(super) enum Halt {
    Ended(Ended),
    Failed(SearchError),
}

impl<E: Into<SearchError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// The number of a candidate among those that were judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(usize);

/// What is known of candidates, and the means to know more.
pub(super) struct Evaluator<'s, 'c> {
    pub(super) request: &'s SearchRequest,
    judge: &'s mut Judge<'c>,
    cost: &'s mut dyn Cost,
    progress: &'s mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    phase: Phase,
    reference: Rules,
    full_heads: RecoveryRate,
    full_by_prompt: Vec<f64>,
    costs: HashMap<Point, f64>,
    numbers: HashMap<Point, Number>,
    judged: Vec<(Point, Candidate)>,
    /// The best of those within the space, by the objective.
    best: Option<Number>,
}

impl<'s, 'c> Evaluator<'s, 'c> {
    /// Compares with full-head estimation by the space's largest budget and whatever else of the space it recovers most with.
    pub(super) fn new(
        judge: &'s mut Judge<'c>,
        cost: &'s mut dyn Cost,
        request: &'s SearchRequest,
        progress: &'s mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Self, SearchError> {
        let space = &request.space;
        let k = space.budgets.last().copied().unwrap_or(0);
        let mut strongest: Option<(Rules, RecoveryRate)> = None;
        for &sinks in &space.sinks {
            for &recent in &space.recent {
                for &pooling in &space.pooling {
                    let rules = Figures { k, m: 0, sinks, recent, pooling }.rules();
                    let rate = judge.estimate(Estimate::FullHeads, &rules)?;
                    if strongest.as_ref().is_none_or(|(_, best)| rate.mean() > best.mean()) {
                        strongest = Some((rules, rate));
                    }
                }
            }
        }
        let (reference, full_heads) =
            strongest.filter(|(_, rate)| rate.mean() > 0.0).ok_or(SearchError::NothingRecovered)?;
        Ok(Self {
            request,
            judge,
            cost,
            progress,
            phase: Phase::Screening,
            full_by_prompt: full_heads.by_prompt(),
            reference,
            full_heads,
            costs: HashMap::new(),
            numbers: HashMap::new(),
            judged: Vec::new(),
            best: None,
        })
    }

    pub(super) const fn set_phase(&mut self, phase: Phase) {
        self.phase = phase;
    }

    /// The figures of full-head estimation.
    pub(super) const fn reference(&self) -> &Rules {
        &self.reference
    }

    /// What full-head estimation keeps with them.
    pub(super) const fn full_heads(&self) -> &RecoveryRate {
        &self.full_heads
    }

    /// Rules that were judged.
    pub(super) const fn evaluations(&self) -> u32 {
        self.judged.len() as u32
    }

    /// What was judged, by number.
    pub(super) fn candidate(&self, number: Number) -> &Candidate {
        &self.judged[number.0].1
    }

    /// All candidates that lie within the space, in the order in which they were judged.
    pub(super) fn within(&self) -> impl Iterator<Item = Number> {
        let within = |(_, (point, _)): &(_, &(Point, _))| point.is_within(&self.request.space);
        self.judged.iter().enumerate().filter(within).map(|(number, _)| Number(number))
    }

    /// What estimating by `point` costs, in microseconds.
    pub(super) fn estimation_us(&mut self, point: &Point) -> Result<f64, SearchError> {
        let point = point.as_read();
        if let Some(&cost) = self.costs.get(&point) {
            return Ok(cost);
        }
        let rules = point.rules();
        let failed = |source| SearchError::Cost { rules: describe(&rules), source };
        let cost = self.cost.estimation_us(&rules).map_err(failed)?;
        if !cost.is_finite() || cost < 0.0 {
            return Err(failed(format!("{cost} microseconds are no time").into()));
        }
        self.costs.insert(point, cost);
        Ok(cost)
    }

    /// Judges `point`, unless that was done, the evaluations are used up or the caller stops it.
    pub(super) fn evaluate(&mut self, point: &Point) -> Result<Number, Halt> {
        if let Some(&number) = self.numbers.get(&point.as_read()) {
            return Ok(number);
        }
        let progress = Progress {
            phase: self.phase,
            evaluations: self.evaluations(),
            most: self.request.evaluations,
            best: self.best.map(|number| &self.judged[number.0].1),
        };
        if (self.progress)(progress).is_break() {
            return Err(Halt::Ended(Ended::Stopped));
        }
        if self.evaluations() >= self.request.evaluations {
            return Err(Halt::Ended(Ended::Evaluations));
        }
        Ok(self.judge(point)?)
    }

    /// Judges `point`, unless that was done, whatever the caller says.
    pub(super) fn judge(&mut self, point: &Point) -> Result<Number, SearchError> {
        let point = point.as_read();
        if let Some(&number) = self.numbers.get(&point) {
            return Ok(number);
        }
        let rules = point.rules();
        let estimation_us = self.estimation_us(&point)?;
        let recovery = self.judge.rules(&rules)?;
        let rates = recovery.by_prompt();
        let share = recovery.mean() / self.full_heads.mean();
        let share_low = lower_bound_of_share(&rates, &self.full_by_prompt, self.request.bound)
            .ok_or(SearchError::NothingRecovered)?;
        let number = Number(self.judged.len());
        let is_within = point.is_within(&self.request.space);
        self.numbers.insert(point.clone(), number);
        self.judged.push((point, Candidate { rules, estimation_us, recovery, share, share_low }));
        if is_within && self.best.is_none_or(|best| self.is_better(number, best, self.request.objective)) {
            self.best = Some(number);
        }
        Ok(number)
    }

    /// Whether candidate `a` serves `objective` better than `b`. A front is served by the greatest share.
    pub(super) fn is_better(&self, a: Number, b: Number, objective: Objective) -> bool {
        let [a, b] = [a, b].map(|number| self.candidate(number));
        let share = match objective {
            Objective::Share(share) => share,
            Objective::Front => f64::INFINITY,
        };
        match [a, b].map(|it| it.share_low >= share) {
            [true, true] => {
                (a.estimation_us, -a.share_low, simplicity(&a.rules))
                    < (b.estimation_us, -b.share_low, simplicity(&b.rules))
            }
            [false, false] => {
                (-a.share_low, a.estimation_us, simplicity(&a.rules))
                    < (-b.share_low, b.estimation_us, simplicity(&b.rules))
            }
            [met, _] => met,
        }
    }
}

/// What comes first of equals: a small budget, few heads, a small quota.
pub(super) fn simplicity(rules: &Rules) -> [u32; 5] {
    let heads = rules.target_heads.iter().chain(&rules.draft_heads).map(|layer| layer.heads.len() as u32);
    [rules.k, heads.sum(), rules.m, rules.pooling, rules.sinks + rules.recent]
}

fn describe(rules: &Rules) -> String {
    let heads = |layers: &[dustin::profile::LayerHeads]| {
        let heads: Vec<String> =
            layers.iter().map(|it| format!("layer {}: {:?}", it.layer, it.heads)).collect();
        if heads.is_empty() { "none".to_owned() } else { heads.join(", ") }
    };
    let Rules { k, m, .. } = rules;
    format!(
        "rules with k = {k}, m = {m}, target heads {}, draft heads {}",
        heads(&rules.target_heads),
        heads(&rules.draft_heads)
    )
}
