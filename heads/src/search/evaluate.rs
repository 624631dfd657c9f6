//! Judging candidates, each once, as long as there are evaluations.

use std::{collections::HashMap, ops::ControlFlow};

use dustin::verifier::Rules;

use super::{
    Candidate, Cost, Ended, Objective, Phase, Progress, SearchError, SearchRequest,
    goal::Goal,
    point::{Figures, Point},
    pool::Pool,
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
    judged: Vec<Judged>,
    /// The heads that what is found may read; all if nothing is said.
    admitted: Option<Pool>,
    /// The best so far, by the objective.
    best: Option<Number>,
}

struct Judged {
    point: Point,
    candidate: Candidate,
    /// Whether it lies within the space and reads admitted heads.
    is_eligible: bool,
}

impl<'s, 'c> Evaluator<'s, 'c> {
    /// Compares with full-head estimation by the space's largest budget and whatever else of the space it
    /// recovers most with.
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
            admitted: None,
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
        &self.judged[number.0].candidate
    }

    /// The same as the search changes it; heads that are not read are left out.
    pub(super) fn point(&self, number: Number) -> &Point {
        &self.judged[number.0].point
    }

    /// From now on, what is found reads heads of `pool` only, or any if there is none.
    pub(super) fn admit(&mut self, pool: Option<Pool>) {
        self.admitted = pool;
        for index in 0..self.judged.len() {
            self.judged[index].is_eligible = self.is_eligible(&self.judged[index].point);
        }
        self.best = self.eligible().reduce(|best, it| self.preferred(best, it));
    }

    fn is_eligible(&self, point: &Point) -> bool {
        point.is_within(&self.request.space) && self.admitted.as_ref().is_none_or(|pool| pool.has_all(point))
    }

    /// Candidates that may be found, in the order in which they were judged.
    fn eligible(&self) -> impl Iterator<Item = Number> {
        let numbered = self.judged.iter().enumerate();
        numbered.filter(|(_, judged)| judged.is_eligible).map(|(number, _)| Number(number))
    }

    /// The better one by the objective.
    fn preferred(&self, a: Number, b: Number) -> Number {
        let goal = Goal::from(self.request.objective);
        if goal.prefers(self.candidate(b), self.candidate(a)) { b } else { a }
    }

    /// The best so far, by the objective.
    pub(super) const fn best(&self) -> Option<Number> {
        self.best
    }

    /// What no other beats in both time and share, cheapest first.
    pub(super) fn front(&self) -> Vec<Number> {
        let mut all: Vec<Number> = self.eligible().collect();
        // Of those that cost the same, the best comes first.
        all.sort_by(|&a, &b| {
            let [a, b] = [a, b].map(|number| self.candidate(number));
            a.estimation_us.total_cmp(&b.estimation_us).then_with(|| Goal::GREATEST.compare(a, b))
        });
        let mut front: Vec<Number> = Vec::new();
        for it in all {
            let share = |number| self.candidate(number).share_low;
            if front.last().is_none_or(|&last| share(it) > share(last)) {
                front.push(it);
            }
        }
        front
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

    /// Whether `point` may be worth judging: it is not once something cheaper keeps the share asked for.
    pub(super) fn is_of_use(&mut self, point: &Point) -> Result<bool, SearchError> {
        let estimation_us = self.estimation_us(point)?;
        let best = self.best.map(|best| self.candidate(best));
        Ok(match self.request.objective {
            Objective::Front => true,
            Objective::Share(share) => {
                best.is_none_or(|best| best.share_low < share || estimation_us <= best.estimation_us)
            }
        })
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
            best: self.best.map(|number| &self.judged[number.0].candidate),
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
        let is_eligible = self.is_eligible(&point);
        let candidate = Candidate { rules, estimation_us, recovery, share, share_low };
        self.numbers.insert(point.clone(), number);
        self.judged.push(Judged { point, candidate, is_eligible });
        if is_eligible {
            self.best = Some(self.best.map_or(number, |best| self.preferred(best, number)));
        }
        Ok(number)
    }
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
