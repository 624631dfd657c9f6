//! Acceptance in f64, written for clarity: distributions are stored and normalised after each rejection. The random numbers are
//! those of all back ends.

mod distribution;

use dustin_kernels::{accept::draws::Draws, fault::Fault};

use self::distribution::{Distribution, best};
use super::{
    arrays::{AcceptArrays, ScoreItems},
    problem::{AcceptProblem, Scores},
};
use crate::error::InvalidInput;

/// The walk of a sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Its rows, from row 0; none for a sequence without rows.
    pub path: Vec<u32>,
    /// The tokens of the accepted drafts, and the next one.
    pub emitted: Vec<u32>,
}

/// What acceptance must give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The walk of each sequence.
    pub walks: Vec<Walk>,
    /// The status word of launches that start with 0, in which the highest fault stays.
    pub status: u64,
}

/// Accepts the drafts of `arrays`, with the [defined results](super) where the device's data is out of range.
///
/// # Errors
/// The problem or the strides are invalid, or an array is missing, not asked for or too short.
pub fn accept(problem: &AcceptProblem, arrays: &AcceptArrays<'_>) -> Result<Reference, InvalidInput> {
    accept_as(problem, arrays, |_| None)
}

/// [`accept`], which decides as a back end did wherever the decision is within the rounding of f32. `others` gives the back end's
/// walk of a sequence.
///
/// # Errors
/// As [`accept`].
pub fn accept_as(
    problem: &AcceptProblem,
    arrays: &AcceptArrays<'_>,
    others: impl Fn(u32) -> Option<Walk>,
) -> Result<Reference, InvalidInput> {
    arrays.validate(problem)?;
    let mut reference = Reference { walks: Vec::new(), status: 0 };
    for index in 0..problem.batch {
        let (mut faults, mut walk) = (Vec::new(), Walk::default());
        match Sequence::new(problem, arrays, index, others(index), &mut faults) {
            Ok(sequence) if sequence.rows > 0 => walk = sequence.walk(),
            Ok(_) => {}
            Err(fault) => faults.push(fault),
        }
        reference.walks.push(walk);
        let words = faults.into_iter().map(|fault| fault.word(index));
        reference.status = words.fold(reference.status, u64::max);
    }
    Ok(reference)
}

struct Sequence<'a> {
    problem: &'a AcceptProblem,
    arrays: &'a AcceptArrays<'a>,
    index: u32,
    first_row: u32,
    rows: u32,
    temperature: f32,
    /// The row that each row continues, if it is to be tried.
    parents: Vec<Option<u32>>,
    draws: Draws,
    /// What a back end did.
    other: Option<Walk>,
}

/// Where a walk goes from a node.
enum Next {
    Draft(u32),
    Token(u32),
}

impl<'a> Sequence<'a> {
    fn new(
        problem: &'a AcceptProblem,
        arrays: &'a AcceptArrays<'a>,
        index: u32,
        other: Option<Walk>,
        faults: &mut Vec<Fault>,
    ) -> Result<Self, Fault> {
        let (first_row, rows) = arrays.rows(problem, index)?;
        let mut or_report = |fault| faults.push(fault);
        let temperature = arrays.temperature(index).map_err(&mut or_report).unwrap_or(0.0);
        let parent = |row| arrays.parent(problem, first_row, row).map_err(&mut or_report).ok();
        let mut parents = vec![None; rows.min(1) as usize];
        parents.extend((1..rows).map(parent));
        if rows > 0 && !arrays.starts(first_row) {
            faults.push(Fault::Parent);
        }
        let draws = Draws::new(arrays.seeds[index as usize], arrays.step.wrapping_add(1));
        let sequence = Self { problem, arrays, index, first_row, rows, temperature, parents, draws, other };
        for row in 0..rows {
            let is_sound = |scores: &[f32], of: Scores| {
                let weights = Distribution::of_scores(scores, of.kind, 1.0);
                weights.is_some() && !scores.iter().any(|score| score.is_nan())
            };
            if !is_sound(&sequence.target_scores(row), problem.target) {
                faults.push(Fault::Score);
            }
            if temperature == 0.0 {
                continue;
            }
            match sequence.draft_scores(row) {
                Ok(Some((scores, of))) if !is_sound(&scores, of) => faults.push(Fault::Score),
                Ok(_) => {}
                Err(fault) => faults.push(fault),
            }
        }
        Ok(sequence)
    }

    fn scores(&self, items: &ScoreItems<'_>, of: Scores, row: u32, stride: u64) -> Vec<f32> {
        let first = u64::from(row) * stride;
        (0..u64::from(self.problem.vocabulary)).map(|token| items.get(of.dtype, first + token)).collect()
    }

    fn target_scores(&self, row: u32) -> Vec<f32> {
        let Self { problem, arrays, .. } = self;
        self.scores(&arrays.target, problem.target, self.first_row + row, arrays.strides.target_row)
    }

    /// The scores that the drafts behind `row` were drawn from.
    fn draft_scores(&self, row: u32) -> Result<Option<(Vec<f32>, Scores)>, Fault> {
        let Self { problem, arrays, .. } = self;
        let own = arrays.draft_row(problem, self.index, (self.first_row, self.rows), row)?;
        let Some(((own, items), draft)) = own.zip(arrays.draft).zip(problem.draft) else { return Ok(None) };
        Ok(Some((self.scores(&items, draft.scores, own, arrays.strides.draft_row), draft.scores)))
    }

    fn token(&self, row: u32) -> u32 {
        self.arrays.tokens[(self.first_row + row) as usize] as u32
    }

    fn walk(&self) -> Walk {
        let mut walk = Walk { path: vec![0], emitted: Vec::new() };
        let mut node = 0;
        loop {
            match self.step(node) {
                Next::Draft(row) => {
                    walk.path.push(row);
                    walk.emitted.push(self.token(row));
                    node = row;
                }
                Next::Token(token) => {
                    walk.emitted.push(token);
                    return walk;
                }
            }
        }
    }

    fn step(&self, node: u32) -> Next {
        let scores = self.target_scores(node);
        let mut drafts =
            (0..self.rows).filter(|&row| self.parents[row as usize] == Some(node)).collect::<Vec<_>>();
        if self.temperature == 0.0 {
            let best = best(&scores);
            drafts.retain(|&row| self.token(row) == best);
            return drafts.first().map_or(Next::Token(best), |&row| Next::Draft(row));
        }
        match Distribution::of_scores(&scores, self.problem.target.kind, self.temperature) {
            Some(target) => self.try_drafts(node, target, &drafts),
            None => Next::Token(best(&scores)),
        }
    }

    fn try_drafts(&self, node: u32, target: Distribution, drafts: &[u32]) -> Next {
        // Where the other walk goes from this node, if it comes by.
        let (mut other_draft, mut other_token) = (None, None);
        if let Some(other) = &self.other
            && let Some(place) = other.path.iter().position(|&row| row == node)
        {
            other_draft = other.path.get(place + 1).copied();
            other_token = other.emitted.last().copied().filter(|_| other_draft.is_none());
        }
        let certain = self.problem.draft.is_none();
        let mut draft = self
            .draft_scores(node)
            .ok()
            .flatten()
            .and_then(|(scores, of)| Distribution::of_scores(&scores, of.kind, self.temperature));
        let (mut left, mut rejected, mut may_be_whole) = (Some(target.clone()), Vec::new(), false);
        for &row in drafts {
            let token = self.token(row);
            let Some(p) = &left else { break };
            let [q, q_error] = match &draft {
                _ if certain => [f64::from(u8::from(!rejected.contains(&token))), 0.0],
                Some(draft) => [draft.of(token), draft.error(token)],
                None => [0.0; 2],
            };
            if q == 0.0 {
                continue;
            }
            let u = (f64::from(self.draws.acceptance(row)) + 0.5) / (1_u64 << 32) as f64;
            let (needed, given) = (u * q, p.of(token));
            let doubt = u * q_error + p.error(token) + 1e-7 * given;
            let mut is_accepted = needed < given;
            if self.other.is_some() && (needed - given).abs() <= doubt {
                is_accepted = other_draft == Some(row);
            }
            if is_accepted {
                return Next::Draft(row);
            }
            rejected.push(token);
            let rest = match &draft {
                Some(draft) => p.less(draft, token),
                None => p.without(token),
            };
            may_be_whole |= rest.as_ref().is_none_or(Distribution::is_doubtful);
            left = rest;
            if self.problem.draft.is_some_and(|draft| draft.without_replacement) {
                draft = draft.and_then(|draft| draft.without(token));
            }
        }
        let winner = left.as_ref().unwrap_or(&target).draw(&self.draws, node, other_token);
        let or_whole = || may_be_whole && target.draw(&self.draws, node, other_token).or_other;
        match other_token {
            Some(other) if winner.or_other || or_whole() => Next::Token(other),
            _ => Next::Token(winner.token),
        }
    }
}

#[cfg(test)]
mod tests;
