//! The search for heads and budgets: what keeps enough of the attention at the least cost.
//!
//! A candidate is what a verifier takes as [`Rules`](dustin::verifier::Rules). It is judged by the attention
//! that it recovers on the searched prompts, as a share of what full-head estimation does: by the lower bound
//! of that share, since heads that are good on some prompts only have the same mean as reliable ones. What it
//! costs is asked of the caller: cost follows the distinct KV heads that are read, so that heads of one group
//! are nearly free together. What is found has to be judged on held-out prompts afterwards.
//!
//! `request`, `space` and `cost` are what is asked, `found` what is answered. `point` is a candidate as the
//! search changes it, `evaluate` judges each one once, `goal` says which is better. `seeds` is what is known of
//! heads alone, `reliability` which of them are good on all prompts, `pool` what moves may take. `guided` grows
//! candidates and descends, by `moves` of heads and brackets of `figures`; `exhaustive` takes them all.

mod cost;
mod error;
mod evaluate;
mod exhaustive;
mod figures;
mod found;
mod goal;
mod guided;
mod moves;
mod point;
mod pool;
mod reliability;
mod request;
mod seeds;
mod space;

use std::ops::ControlFlow;

pub use self::{
    cost::Cost,
    error::SearchError,
    found::{Candidate, Ended, Found, Phase, Progress, ScreenedHead},
    request::{Method, Objective, Rankings, SearchRequest, Start},
    space::{HeadSpace, SearchSpace},
};
use self::{
    error::invalid,
    evaluate::{Evaluator, Halt, Number},
    point::{Figures, Point},
    pool::Pool,
    seeds::Seeds,
};
use crate::{
    calibration::PromptRole,
    fidelity::{FidelityError, Judge},
};

/// Searches what `request` asks for, on the prompts of `judge`, searched ones of its capture.
///
/// `progress` is called before each evaluation, and stops the search by [`ControlFlow::Break`]: what was
/// found until then is returned, and the start is judged in any case. The same request finds the same again.
///
/// # Errors
/// The request is impossible on the capture, the judge has held-out prompts or fewer than two, which give no
/// bounds, a candidate cannot be judged or its cost not be told.
pub fn search(
    judge: &mut Judge<'_>,
    cost: &mut dyn Cost,
    request: &SearchRequest,
    rankings: &Rankings,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<Found, SearchError> {
    let capture = judge.capture();
    request.validate(capture)?;
    if judge.prompts() < 2 {
        return Err(invalid(
            "prompts",
            "at least two searched ones, as bounds are drawn over prompts",
            judge.prompts(),
        ));
    }
    for prompt in judge.numbers() {
        if capture.prompt(prompt).map_err(FidelityError::from)?.role != PromptRole::Searched {
            return Err(invalid("prompts", "searched ones", format!("prompt {prompt}, which is held out")));
        }
    }
    let mut seeds = Seeds::new(capture, request, rankings)?;
    let mut evaluator = Evaluator::new(judge, cost, request, progress)?;
    let screened = seeds.screen(&mut evaluator);
    if let Err(Halt::Failed(error)) = screened {
        return Err(error);
    }
    evaluator.set_phase(Phase::Start);
    let point = seeds.start(request, Figures::of(evaluator.reference()));
    if !point.is_within(&request.space) {
        return Err(invalid("start", "within the space", format!("{:?}", point.rules())));
    }
    let start = evaluator.judge(&point)?;
    match screened.and_then(|()| run(&mut evaluator, &seeds, start)) {
        Ok(()) => Ok(found(&mut evaluator, &seeds, start, Ended::Converged)),
        Err(Halt::Ended(ended)) => Ok(found(&mut evaluator, &seeds, start, ended)),
        Err(Halt::Failed(error)) => Err(error),
    }
}

/// Searches among reliable heads, then among all if these do not keep the share.
fn run(evaluator: &mut Evaluator<'_, '_>, seeds: &Seeds, start: Number) -> Result<(), Halt> {
    if let Some(mut reliable) = seeds.reliable(evaluator) {
        evaluator.admit(Some(reliable.clone()));
        go_through(evaluator, &mut reliable, start)?;
        if keeps_share(evaluator) {
            return finish(evaluator, &reliable);
        }
        evaluator.admit(None);
    }
    let mut all = seeds.all();
    go_through(evaluator, &mut all, start)?;
    finish(evaluator, &all)
}

fn go_through(evaluator: &mut Evaluator<'_, '_>, pool: &mut Pool, start: Number) -> Result<(), Halt> {
    match evaluator.request.method {
        Method::Guided => guided::grow_and_descend(evaluator, pool, start),
        Method::Exhaustive => exhaustive::run(evaluator, pool),
    }
}

/// Looks for what a guided search may have missed.
fn finish(evaluator: &mut Evaluator<'_, '_>, pool: &Pool) -> Result<(), Halt> {
    match evaluator.request.method {
        Method::Guided => guided::disturb(evaluator, pool),
        Method::Exhaustive => Ok(()),
    }
}

/// Whether what is asked for has been found; of a front, that is all that there is.
fn keeps_share(evaluator: &Evaluator<'_, '_>) -> bool {
    match evaluator.request.objective {
        Objective::Share(share) => {
            evaluator.best().is_some_and(|best| evaluator.candidate(best).share_low >= share)
        }
        Objective::Front => evaluator.best().is_some(),
    }
}

fn found(evaluator: &mut Evaluator<'_, '_>, seeds: &Seeds, start: Number, ended: Ended) -> Found {
    if !keeps_share(evaluator) {
        evaluator.admit(None);
    }
    let candidate = |number: Number| evaluator.candidate(number).clone();
    let front: Vec<Candidate> = evaluator.front().into_iter().map(candidate).collect();
    let chosen = match evaluator.request.objective {
        Objective::Share(_) if keeps_share(evaluator) => evaluator.best().map(candidate),
        _ => None,
    };
    Found {
        chosen,
        best: front.last().cloned().unwrap_or_else(|| candidate(start)),
        start: candidate(start),
        front,
        reference: evaluator.reference().clone(),
        full_heads: evaluator.full_heads().clone(),
        screened: seeds.screened(evaluator),
        evaluations: evaluator.evaluations(),
        ended,
    }
}

impl SearchRequest {
    /// Refuses what no search can do on `capture`.
    fn validate(&self, capture: &crate::Capture) -> Result<(), SearchError> {
        self.space.validate(capture)?;
        match self.objective {
            Objective::Share(share) if !(share.is_finite() && share > 0.0) => {
                return Err(invalid("share", "a number above 0", share));
            }
            _ => {}
        }
        if self.reliability.is_some_and(|least| !(0.0..=1.0).contains(&least)) {
            return Err(invalid("reliability", "from 0 to 1", self.reliability.unwrap_or(f64::NAN)));
        }
        if self.evaluations == 0 {
            return Err(invalid("evaluations", "at least 1", 0));
        }
        let confidence = self.bound.confidence;
        if !(confidence > 0.5 && confidence < 1.0) {
            return Err(invalid("bound.confidence", "above 0.5 and below 1", confidence));
        }
        if self.bound.resamples == 0 {
            return Err(invalid("bound.resamples", "at least 1", 0));
        }
        let Start::Rules(rules) = &self.start else { return Ok(()) };
        // What a profile cannot say is in no space.
        if Point::of(rules).figures.rules()
            != (dustin::verifier::Rules {
                target_heads: Vec::new(),
                draft_heads: Vec::new(),
                ..rules.clone()
            })
        {
            return Err(invalid(
                "start",
                "without blocks or exceptions, as profiles have none",
                format!("{rules:?}"),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
