//! What capturing reads and writes.

use rand::{Rng, RngExt, SeedableRng, seq::index};
use rand_pcg::Pcg64Mcg;

use super::{bits, poison_index};
use crate::{
    cache::capture::{
        arrays::{CaptureArrays, CaptureStrides},
        problem::CaptureProblem,
        reference,
    },
    error::InvalidInput,
};

/// A fault to plant in what is captured of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapturePlant {
    /// The slot is the number of slots.
    SlotBeyond,
    /// The slot is the largest that can be written.
    SlotHuge,
    /// The row is the number of the sequence's rows.
    RowBeyond,
    /// The row is negative.
    RowNegative,
    /// The last sequence ends before it starts.
    RowsDescending,
    /// The last sequence ends behind the batch's rows.
    RowsBeyond,
    /// The first sequence starts before the batch's rows.
    RowsNegative,
    /// The last sequence ends so far before it starts that the difference wraps to one row.
    RowsWrapping,
}

impl CapturePlant {
    /// Every fault.
    pub const ALL: [Self; 8] = [
        Self::SlotBeyond,
        Self::SlotHuge,
        Self::RowBeyond,
        Self::RowNegative,
        Self::RowsDescending,
        Self::RowsBeyond,
        Self::RowsNegative,
        Self::RowsWrapping,
    ];
}

/// A capture with everything that it reads, and the slots before, in host memory.
#[derive(Clone, Debug)]
pub struct CaptureInput {
    /// The problem.
    pub problem: CaptureProblem,
    /// Distances between head vectors.
    pub strides: CaptureStrides,
    /// Queries of the rows: any bits.
    pub query: Vec<u16>,
    /// First rows.
    pub row_starts: Vec<i32>,
    /// The row to capture of each sequence; poison where a sequence has no rows. Nothing: the last one.
    pub rows: Option<Vec<i32>>,
    /// The slot of each sequence. Nothing: that of its own number.
    pub slots: Option<Vec<i32>>,
    /// The token of the slots that is written.
    pub token: u32,
    /// The slots before: any bits.
    pub captured: Vec<u16>,
}

impl CaptureInput {
    /// A random input whose sequences have up to `max_rows` rows; in one of four a fault is planted.
    ///
    /// # Errors
    /// The host's memory does not hold the arrays.
    pub fn random(seed: u64, max_rows: u32) -> Result<Self, InvalidInput> {
        let mut input = Self::sound(seed, max_rows)?;
        let mut rng = Pcg64Mcg::seed_from_u64(!seed);
        if rng.random_range(0..4) == 0 {
            let sequence = rng.random_range(0..input.problem.batch as usize);
            // Not every sequence has what a fault needs: then there is none.
            input.plant(CapturePlant::ALL[rng.random_range(0..CapturePlant::ALL.len())], sequence);
        }
        Ok(input)
    }

    /// [`CaptureInput::random`] without a fault.
    ///
    /// # Errors
    /// The host's memory does not hold the arrays.
    pub fn sound(seed: u64, max_rows: u32) -> Result<Self, InvalidInput> {
        let rng = &mut Pcg64Mcg::seed_from_u64(seed);
        let batch = rng.random_range(1..=6);
        let counts: Vec<u32> = (0..batch)
            .map(|_| if rng.random_range(0..5) == 0 { 0 } else { rng.random_range(1..=max_rows) })
            .collect();
        let query_heads = [1, 3, 14, 64, 130][rng.random_range(0..5)];
        let captured = rng.random_range(1..=64.min(query_heads));
        let mut heads: Vec<u32> = index::sample(rng, query_heads as usize, captured as usize)
            .into_iter()
            .map(|head| head as u32)
            .collect();
        if rng.random_range(0..4) > 0 {
            heads.sort_unstable();
        }
        let problem = CaptureProblem {
            batch,
            total_rows: (counts.iter().sum::<u32>() + rng.random_range(0..3)).max(1),
            query_heads,
            head_dim: if rng.random() { 64 } else { 128 },
            heads,
            slots: batch + rng.random_range(0..4),
            tokens: rng.random_range(1..=4),
        };
        let strides = strides(rng, &problem);
        let mut row_starts = vec![0];
        row_starts.extend(counts.iter().scan(0, |end, &rows| {
            *end += rows as i32;
            Some(*end)
        }));
        let rows = counts.iter().map(|&rows| match rows {
            0 => poison_index(rng),
            rows => rng.random_range(0..rows) as i32,
        });
        let rows: Vec<i32> = rows.collect();
        // Each its own slot, and one of four sequences none.
        let slots = index::sample(rng, problem.slots as usize, batch as usize).into_iter();
        let slots: Vec<i32> =
            slots.map(|slot| if rng.random_range(0..4) == 0 { -1 } else { slot as i32 }).collect();
        Ok(Self {
            query: bits(rng, strides.query_extent(&problem))?,
            captured: bits(rng, strides.captured_extent(&problem))?,
            row_starts,
            rows: rng.random::<bool>().then_some(rows),
            slots: (rng.random_range(0..4) > 0).then_some(slots),
            token: rng.random_range(0..problem.tokens),
            strides,
            problem,
        })
    }

    /// The arrays, as the reference and the CPU back end read them.
    #[must_use]
    pub fn arrays(&self) -> CaptureArrays<'_> {
        CaptureArrays {
            query: &self.query,
            row_starts: &self.row_starts,
            rows: self.rows.as_deref(),
            slots: self.slots.as_deref(),
            token: self.token,
            strides: self.strides,
        }
    }

    /// What capturing must leave: the slots, and the status word.
    ///
    /// # Errors
    /// The input was changed to one that is not valid.
    pub fn reference(&self) -> Result<(Vec<u16>, u64), InvalidInput> {
        let mut captured = self.captured.clone();
        let status = reference::capture(&self.problem, &self.arrays(), &mut captured)?;
        Ok((captured, status))
    }

    /// Plants a fault in `sequence` (faults of row ranges: where they say). Whether it could: slots and rows need an array of
    /// them, and a sequence with rows and a slot.
    pub fn plant(&mut self, plant: CapturePlant, sequence: usize) -> bool {
        let (batch, total) = (self.problem.batch as usize, self.problem.total_rows as i32);
        if sequence >= batch {
            return false;
        }
        let rows = self.row_starts[sequence + 1] - self.row_starts[sequence];
        let has_slot = self.slots.as_ref().is_none_or(|slots| slots[sequence] >= 0);
        match plant {
            CapturePlant::RowsDescending => self.row_starts[batch] = self.row_starts[batch - 1] - 1,
            CapturePlant::RowsBeyond => self.row_starts[batch] = total + 1,
            CapturePlant::RowsNegative => self.row_starts[0] = -1,
            CapturePlant::RowsWrapping => {
                self.row_starts[batch - 1..].copy_from_slice(&[i32::MAX, i32::MIN]);
            }
            _ if rows == 0 || !has_slot => return false,
            CapturePlant::SlotBeyond | CapturePlant::SlotHuge => {
                let Some(slots) = &mut self.slots else { return false };
                let beyond = self.problem.slots as i32;
                slots[sequence] = if plant == CapturePlant::SlotHuge { i32::MAX } else { beyond };
            }
            CapturePlant::RowBeyond | CapturePlant::RowNegative => {
                let Some(chosen) = &mut self.rows else { return false };
                chosen[sequence] = if plant == CapturePlant::RowBeyond { rows } else { -1 };
            }
        }
        true
    }
}

/// Gaps everywhere, or nowhere; slots may lie inside of tokens.
fn strides(rng: &mut impl Rng, problem: &CaptureProblem) -> CaptureStrides {
    let (gap, dim) = (8 * rng.random_range(0..3_u64), u64::from(problem.head_dim));
    let (heads, tokens) = (problem.heads.len() as u64, u64::from(problem.tokens));
    let query_head = dim + gap;
    let head = dim + gap;
    let inner = heads * head + gap;
    let (slot, token) = if rng.random() {
        (tokens * inner + gap, inner)
    } else {
        (inner, u64::from(problem.slots) * inner + gap)
    };
    CaptureStrides {
        query_row: u64::from(problem.query_heads) * query_head + gap,
        query_head,
        slot,
        token,
        head,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use dustin_kernels::fault::Fault;

    use super::*;

    #[test]
    fn random_captures_are_valid_and_meet_every_fault() {
        let mut seen = BTreeSet::new();
        for seed in 0..600 {
            let input = CaptureInput::random(seed, 9).unwrap();
            let (captured, status) = input.reference().unwrap();
            seen.insert(format!("{:?}", Fault::parse(status).map(|(fault, _)| fault)));
            seen.insert(format!("rows {} slots {}", input.rows.is_some(), input.slots.is_some()));
            seen.insert(format!("still {}", captured == input.captured));
        }
        assert_eq!(seen.len(), 4 + 4 + 2, "{seen:#?}");
    }

    #[test]
    fn every_planted_fault_is_reported() {
        for plant in CapturePlant::ALL {
            let mut planted = 0;
            for seed in 0..40 {
                let mut input = CaptureInput::sound(seed, 5).unwrap();
                let is_planted = input.plant(plant, 0);
                assert_eq!(input.reference().unwrap().1 != 0, is_planted, "{plant:?} {seed}");
                planted += usize::from(is_planted);
            }
            assert!(planted >= 5, "{plant:?}: {planted}");
        }
    }
}
