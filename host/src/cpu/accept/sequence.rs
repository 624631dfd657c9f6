//! A sequence's rows, and the walk through them.

use dustin_kernels::{
    accept::draws::{Draws, uniform},
    fault::Fault,
};
use rayon::prelude::*;

use super::{
    residual::{Residual, Verdict},
    row::Row,
};
use crate::accept::{arrays::AcceptArrays, problem::AcceptProblem};

/// A sequence, with the figures of its rows.
pub(super) struct Sequence<'a> {
    problem: &'a AcceptProblem,
    /// The tokens of its rows.
    tokens: &'a [i32],
    temperature: f32,
    draws: Draws,
    /// The row that each row continues, if it is to be tried.
    parents: Vec<Option<u32>>,
    target: Vec<Row<'a>>,
    /// What the drafts behind each row were drawn from, where that has any weight.
    draft: Vec<Option<Row<'a>>>,
}

/// The walk of a sequence: rows, and tokens.
#[derive(Default)]
pub(super) struct Walk {
    pub(super) path: Vec<u32>,
    pub(super) emitted: Vec<u32>,
}

impl<'a> Sequence<'a> {
    /// Sequence `index` of valid arrays, and its status word.
    pub(super) fn new(
        problem: &'a AcceptProblem,
        arrays: &AcceptArrays<'a>,
        index: u32,
    ) -> Result<(Self, u64), Fault> {
        let (first, rows) = arrays.rows(problem, index)?;
        let mut status = 0;
        let mut report = |fault: Fault| status = status.max(fault.word(index));
        let temperature = arrays.temperature(index).map_err(&mut report).unwrap_or(0.0);
        let mut parents = vec![None; rows.min(1) as usize];
        parents.extend((1..rows).map(|row| arrays.parent(problem, first, row).map_err(&mut report).ok()));
        if rows > 0 && !arrays.starts(first) {
            report(Fault::Parent);
        }
        let vocabulary = problem.vocabulary;
        let target: Vec<Row<'_>> = (first..first + rows)
            .into_par_iter()
            .map(|row| {
                let stride = arrays.strides.target_row;
                Row::new(arrays.target, problem.target, row, stride, vocabulary, temperature)
            })
            .collect();
        let draft_row = |row| match arrays.draft {
            Some(items) if temperature > 0.0 => {
                let named = arrays.draft_row(problem, index, (first, rows), row)?;
                let of = problem.draft.map(|draft| draft.scores);
                let stride = arrays.strides.draft_row;
                Ok(named.zip(of).map(|(own, of)| Row::new(items, of, own, stride, vocabulary, temperature)))
            }
            _ => Ok(None),
        };
        let draft: Vec<Result<Option<Row<'_>>, Fault>> = (0..rows).into_par_iter().map(draft_row).collect();
        let draft: Vec<Option<Row<'_>>> =
            draft.into_iter().map(|row| row.map_err(&mut report).unwrap_or(None)).collect();
        if target.iter().chain(draft.iter().flatten()).any(|row| row.has_nan || !row.has_mass()) {
            report(Fault::Score);
        }
        let draft = draft.into_iter().map(|row| row.filter(Row::has_mass)).collect();
        let draws = Draws::new(arrays.seeds[index as usize], arrays.step.wrapping_add(1));
        let tokens = &arrays.tokens[first as usize..(first + rows) as usize];
        Ok((Self { problem, tokens, temperature, draws, parents, target, draft }, status))
    }

    /// Walks from the first row to where no draft is accepted.
    pub(super) fn walk(&self) -> Walk {
        let mut walk = Walk::default();
        let mut next = (!self.target.is_empty()).then_some(0);
        while let Some(node) = next {
            walk.path.push(node);
            let token;
            (next, token) = self.step(node);
            walk.emitted.push(token);
        }
        walk
    }

    /// The row that is accepted behind `node`, if one is, and the token there.
    fn step(&self, node: u32) -> (Option<u32>, u32) {
        let target = &self.target[node as usize];
        let drafts = (0..self.tokens.len() as u32).filter(|&row| self.parents[row as usize] == Some(node));
        let token = |row: u32| self.tokens[row as usize] as u32;
        if self.temperature == 0.0 {
            let best = target.best();
            return (drafts.into_iter().find(|&row| token(row) == best), best);
        }
        if !target.has_mass() {
            return (None, target.best());
        }
        let draft = self.draft[node as usize].as_ref();
        let mut residual = Residual::whole(target, draft, self.problem.draft);
        for row in drafts {
            let u = uniform(self.draws.acceptance(row));
            match residual.try_draft(token(row), u) {
                Verdict::Accepted => return (Some(row), token(row)),
                Verdict::NothingLeft => break,
                Verdict::Rejected | Verdict::PassedOver => {}
            }
        }
        (None, residual.draw(&self.draws, node))
    }
}
