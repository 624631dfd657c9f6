//! Cases of attention.

mod sample;

use std::ops::Range;

use dustin::{
    InvalidInput,
    attention::{
        arrays::LogBase,
        compare::{Output, compare_lse, compare_output},
        problem::{AttentionProblem, Confirmed, Sets},
        reference,
        synthetic::{AttentionInput, Contents, Logits, Recipe, SequenceShape},
    },
    element::decode,
    profile::{AttentionKey, IndexSet},
};
use rayon::prelude::*;

use self::sample::{Part, WORK, part, sampled};
use super::{Case, Guarded, Written, written::Item as _};

/// An input and what it must give. The caches may be dropped once a device has its copy: judging needs the shapes.
pub(crate) struct AttentionCase {
    /// The input.
    pub(crate) input: AttentionInput,
    parts: Vec<Part>,
}

/// What a candidate writes.
#[derive(Clone, Debug)]
pub(crate) struct AttentionWritten {
    /// The output, 16-bit items.
    pub(crate) output: Guarded<u16>,
    /// The log-sum-exp (base e), if the problem asks for it.
    pub(crate) lse: Option<Guarded<f32>>,
}

impl Written for AttentionWritten {
    fn bytes(&self) -> usize {
        size_of_val(self.output.whole()) + self.lse.as_ref().map_or(0, |lse| size_of_val(lse.whole()))
    }

    fn spoil(&mut self, byte: u8) {
        self.output.spoil(byte);
    }

    fn difference(&self, other: &Self) -> Option<String> {
        let lse = || self.lse.as_ref()?.difference(other.lse.as_ref()?, LSE);
        self.output.difference(&other.output, OUTPUT).or_else(lse)
    }
}

const OUTPUT: &str = "the output";
const LSE: &str = "the log-sum-exp";

impl Case for AttentionCase {
    type Written = AttentionWritten;

    fn unwritten(&self) -> AttentionWritten {
        let output = Guarded::unwritten(self.input.output_items());
        let lse = self.input.problem.lse.then(|| Guarded::unwritten(self.input.lse_items()));
        AttentionWritten { output, lse }
    }

    fn judge(&self, AttentionWritten { output, lse }: &AttentionWritten) -> Result<(), String> {
        output.require_bands(OUTPUT)?;
        lse.as_ref().map_or(Ok(()), |lse| lse.require_bands(LSE))?;
        let (output, lse) = (output.items(), lse.as_ref().map(Guarded::items));
        self.parts.iter().try_for_each(|part| self.judge_part(part, output, lse))?;
        self.require_own_items(output)?;
        lse.map_or(Ok(()), |lse| self.require_own_sums(lse))
    }
}

impl AttentionCase {
    /// A ragged batch for types, layout, mask and reading of `key`: an empty sequence, one without rows; where there are
    /// sets, those of nothing, of one token, of all tokens and one that is the flag EVERYTHING; gaps in every stride, and
    /// NaN in all that must not be read.
    ///
    /// # Errors
    /// The key is of no valid problem.
    pub(crate) fn awkward(key: &AttentionKey, seed: u64) -> Result<Self, InvalidInput> {
        let shape = |length, rows, set_size| SequenceShape { length, rows, set_size };
        let sets = Sets::of_positions(0);
        let recipe = Recipe {
            dtype: key.dtype,
            head_dim: key.head_dim,
            kv_heads: key.kv_heads.min(2),
            group: key.group(),
            page_size: key.page_size,
            layout: key.layout,
            sequences: vec![
                shape(0, key.rows, 0),
                shape(1, 1, 1),
                shape(41, key.rows, 41),
                shape(150, 0, 20),
                shape(600, key.rows, 333),
                shape(77, 1, 0),
                shape(203, key.rows, SequenceShape::EVERYTHING),
            ],
            confirmed: match key.index_set {
                IndexSet::PerSequence => Confirmed::Sets(sets),
                IndexSet::PerKvHead => Confirmed::Sets(Sets { per_kv_head: true, ..sets }),
                // Of the sequences, some are shorter than the window, one is shorter than the recent tokens, too.
                IndexSet::Window => Confirmed::Window { sinks: 5, recent: 64 },
                IndexSet::Everything => Confirmed::Everything,
            },
            mask: key.mask,
            spare: 1,
            padding: 1,
            head_major: false,
            lse: true,
            contents: Contents { logits: Logits::Peaked, sorted: false, poison_unselected: true, seed },
        };
        let input = recipe.input()?;
        let (problem, reference) = (input.problem, reference::attention(&input.problem, &input.arrays())?);
        let whole = Part { first_row: 0, first_head: 0, problem, reference };
        Ok(Self { input, parts: vec![whole] })
    }

    /// The timed problem: every sequence has `context` tokens and a full set.
    ///
    /// # Errors
    /// The problem is invalid.
    pub(crate) fn timed(problem: &AttentionProblem, context: u32, seed: u64) -> Result<Self, InvalidInput> {
        let input = AttentionInput::uniform(problem, context, seed)?;
        let parts = sampled(problem, context, WORK);
        let parts = parts.into_par_iter().map(|(sequence, kv_head)| part(&input, sequence, kv_head));
        let parts = parts.collect::<Result<_, _>>()?;
        Ok(Self { input, parts })
    }

    /// Frees the caches, which may be gigabytes, when the device has its copy.
    pub(crate) fn drop_caches(&mut self) {
        self.input.key = Vec::new();
        self.input.value = Vec::new();
    }

    /// Refuses an output of which an item that is a row's is no number, or one that is none's was written.
    fn require_own_items(&self, output: &[u16]) -> Result<(), String> {
        let AttentionInput { problem, strides, .. } = &self.input;
        let (row, head) = (strides.output_row as usize, strides.output_head as usize);
        let (dtype, dim) = (problem.dtype, problem.kv.head_dim as usize);
        let mut own = vec![false; output.len()];
        for first in self.rows().map(|at| at * row) {
            for first in (0..problem.query_heads as usize).map(|at| first + at * head) {
                own.iter_mut().skip(first).take(dim).for_each(|own| *own = true);
            }
        }
        let objection = |(at, (&item, own)): (usize, (&u16, bool))| match (own, decode(dtype, item)) {
            (true, value) if !value.is_finite() => {
                let what = if item.is_poison() { "was not written" } else { "must be a number" };
                Some(format!("item {at} of the output {what}, but is {value}"))
            }
            (false, value) if !item.is_poison() => {
                Some(format!("item {at} of the output is no row's, but was written: {value}"))
            }
            _ => None,
        };
        // A large tree's output has millions of items, and every candidate's is looked at.
        output.par_iter().zip(own).enumerate().find_map_first(objection).map_or(Ok(()), Err)
    }

    /// The same of log-sum-exps; that of a row which sees no token is infinite.
    fn require_own_sums(&self, lse: &[f32]) -> Result<(), String> {
        let heads = self.input.problem.query_heads as usize;
        let own = self.rows().start * heads..self.rows().end * heads;
        for (at, &value) in lse.iter().enumerate() {
            if own.contains(&at) && value.is_nan() {
                return Err(format!("item {at} of the log-sum-exp must be a number, but is {value}"));
            }
            if !own.contains(&at) && !value.is_poison() {
                return Err(format!("item {at} of the log-sum-exp is no row's, but was written: {value}"));
            }
        }
        Ok(())
    }

    /// The rows that belong to sequences: one behind the other, and what is to spare behind them.
    fn rows(&self) -> Range<usize> {
        let end = self.input.row_starts.last().copied().unwrap_or(0);
        0..usize::try_from(end).unwrap_or(0)
    }

    fn judge_part(&self, part: &Part, output: &[u16], lse: Option<&[f32]>) -> Result<(), String> {
        let Part { first_row, first_head, problem, reference } = part;
        let (arrays, strides) = (self.input.arrays(), &self.input.strides);
        let place = |error| match (first_row, first_head) {
            (0, 0) => format!("{error}"),
            (row, head) => format!("of what begins with row {row} and head {head}: {error}"),
        };
        let first = first_row * strides.output_row as usize + first_head * strides.output_head as usize;
        let items = Output::Rounded(output.get(first..).unwrap_or_default());
        compare_output(problem, &arrays, reference, items).map_err(place)?;
        if let Some(lse) = lse {
            let rows = lse.chunks(self.input.problem.query_heads as usize).skip(*first_row);
            let heads = rows.flat_map(|row| row.iter().skip(*first_head).take(problem.query_heads as usize));
            let lse: Vec<f32> = heads.take(reference.lse.len()).copied().collect();
            compare_lse(problem, reference, &lse, LogBase::E).map_err(place)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
