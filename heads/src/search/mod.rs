//! The search for heads and budgets: what keeps enough of the attention at the least cost.
//!
//! A candidate is what a verifier takes as [`Rules`](dustin::verifier::Rules). It is judged by the attention that it recovers on the searched prompts,
//! as a share of what full-head estimation does: by the lower bound of that share, since heads that are good on some prompts only have
//! the same mean as reliable ones. What it costs is asked of the caller: cost follows the distinct KV heads that are read,
//! so that heads of one group are nearly free together. What is found has to be judged on held-out prompts afterwards.
//!
//! `request`, `space` and `cost` are what is asked, `found` what is answered; `point` is a candidate as the search changes it, `evaluate`
//! judges each one once, `seeds` is what is known of heads alone.

mod cost;
mod error;
mod evaluate;
mod found;
mod point;
mod request;
mod seeds;
mod space;

use std::ops::ControlFlow;

pub use self::{
    cost::Cost,
    error::SearchError,
    found::{Candidate, Ended, Found, Phase, Progress},
    request::{Objective, Rankings, SearchRequest, Start},
    space::{HeadSpace, SearchSpace},
};
use self::{
    error::invalid,
    evaluate::{Evaluator, Halt, Number, simplicity},
    point::{Figures, Point},
    seeds::Seeds,
};
use crate::fidelity::Judge;

/// Searches what `request` asks for, on the prompts of `judge`, which are to be the capture's searched ones.
///
/// `progress` is called before each evaluation, and stops the search by [`ControlFlow::Break`]: what was found until then is returned, and
/// the start is judged in any case. The same request finds the same again.
///
/// # Errors
/// The request is impossible on the capture, the judge has fewer than two prompts, which give no bounds, a candidate cannot be judged
/// or its cost not be told.
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
    let mut seeds = Seeds::new(capture, request, rankings)?;
    let mut evaluator = Evaluator::new(judge, cost, request, progress)?;
    let screened = seeds.screen(&mut evaluator);
    evaluator.set_phase(Phase::Start);
    let point = seeds.start(request, Figures::of(evaluator.reference()));
    if !point.is_within(&request.space) {
        let actual = format!("{:?}", point.rules());
        return Err(invalid("start", "within the space", actual));
    }
    let (start, ended) = match screened {
        Ok(()) => (evaluator.judge(&point)?, Ended::Converged),
        Err(Halt::Ended(ended)) => (evaluator.judge(&point)?, ended),
        Err(Halt::Failed(error)) => return Err(error),
    };
    Ok(found(&evaluator, start, ended))
}

fn found(evaluator: &Evaluator<'_, '_>, start: Number, ended: Ended) -> Found {
    let candidate = |number: Number| evaluator.candidate(number).clone();
    // The start lies within the space.
    let best = |objective| {
        evaluator
            .within()
            .fold(start, |best, it| if evaluator.is_better(it, best, objective) { it } else { best })
    };
    let chosen = match evaluator.request.objective {
        Objective::Share(share) => {
            Some(candidate(best(evaluator.request.objective))).filter(|it| it.share_low >= share)
        }
        Objective::Front => None,
    };
    let mut all: Vec<Candidate> = evaluator.within().map(candidate).collect();
    all.sort_by(|a, b| {
        let by_cost = a.estimation_us.total_cmp(&b.estimation_us);
        let by_share = b.share_low.total_cmp(&a.share_low);
        by_cost.then(by_share).then_with(|| simplicity(&a.rules).cmp(&simplicity(&b.rules)))
    });
    let mut front: Vec<Candidate> = Vec::new();
    for it in all {
        if front.last().is_none_or(|last| it.share_low > last.share_low) {
            front.push(it);
        }
    }
    Found {
        chosen,
        best: candidate(best(Objective::Front)),
        start: candidate(start),
        front,
        reference: evaluator.reference().clone(),
        full_heads: evaluator.full_heads().clone(),
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
