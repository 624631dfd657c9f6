//! Faults to plant: what only the device can see, and must mask and report.

use super::AcceptInput;

/// A fault to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The last sequence ends before it starts.
    RowsDescending,
    /// The last sequence has more rows than the capacity.
    RowsAboveCapacity,
    /// The last sequence ends behind the batch's rows.
    RowsBeyond,
    /// The first sequence starts before the batch's rows.
    RowsNegative,
    /// The last sequence ends so far before it starts that the difference wraps to one row.
    RowsWrapping,
    /// The token of the sequence's last row is negative.
    TokenNegative,
    /// The token of its second row is the number of tokens.
    TokenBeyond,
    /// Its last row continues itself.
    ParentItself,
    /// Its second row continues none.
    ParentNegative,
    /// Its first row continues one.
    ParentOfFirst,
    /// The drafts behind its first row were drawn from a row that the draft's scores do not have.
    DraftRowBeyond,
    /// A score of its first row is NaN.
    ScoreNan,
    /// No token of its last row has any weight.
    NoMass,
    /// A score of the draft behind its first row is NaN.
    DraftScoreNan,
    /// No token of the draft behind its first row has any weight.
    DraftNoMass,
    /// Its temperature is negative.
    TemperatureNegative,
    /// Its temperature is NaN.
    TemperatureNan,
}

impl Plant {
    /// Every fault.
    pub const ALL: [Self; 17] = [
        Self::RowsDescending,
        Self::RowsAboveCapacity,
        Self::RowsBeyond,
        Self::RowsNegative,
        Self::RowsWrapping,
        Self::TokenNegative,
        Self::TokenBeyond,
        Self::ParentItself,
        Self::ParentNegative,
        Self::ParentOfFirst,
        Self::DraftRowBeyond,
        Self::ScoreNan,
        Self::NoMass,
        Self::DraftScoreNan,
        Self::DraftNoMass,
        Self::TemperatureNegative,
        Self::TemperatureNan,
    ];
}

impl AcceptInput {
    /// Plants a fault in `sequence` (faults of row ranges: where they say). Whether it could: tokens and parents need a sequence
    /// with drafts, parents a tree, the draft's scores a sampled sequence and scores of the draft.
    pub fn plant(&mut self, plant: Plant, sequence: usize) -> bool {
        let batch = self.problem.batch as usize;
        if sequence >= batch {
            return false;
        }
        let first = self.row_starts[sequence] as usize;
        let rows = self.row_starts[sequence + 1] as usize - first;
        match plant {
            Plant::RowsDescending => self.row_starts[batch] = self.row_starts[batch - 1] - 1,
            Plant::RowsAboveCapacity => {
                self.row_starts[batch] = self.row_starts[batch - 1] + self.problem.rows as i32 + 1;
            }
            Plant::RowsBeyond => self.row_starts[batch] = self.problem.total_rows as i32 + 1,
            Plant::RowsNegative => self.row_starts[0] = -1,
            Plant::RowsWrapping => self.row_starts[batch - 1..].copy_from_slice(&[i32::MAX, i32::MIN]),
            Plant::TemperatureNegative => self.temperatures[sequence] = -1.0,
            Plant::TemperatureNan => self.temperatures[sequence] = f32::NAN,
            _ if rows == 0 => return false,
            Plant::ScoreNan => self.set_target(first, 0, f32::NAN),
            Plant::NoMass => {
                (0..self.problem.vocabulary as usize)
                    .for_each(|token| self.set_target(first + rows - 1, token, f32::NEG_INFINITY));
            }
            Plant::ParentOfFirst => return self.set_parent(first, 0),
            _ if rows == 1 => return false,
            Plant::TokenNegative => self.tokens[first + rows - 1] = -1,
            Plant::TokenBeyond => self.tokens[first + 1] = self.problem.vocabulary as i32,
            Plant::ParentItself => return self.set_parent(first + rows - 1, rows as i32 - 1),
            Plant::ParentNegative => return self.set_parent(first + 1, -1),
            _ if self.temperatures[sequence] == 0.0 => return false,
            Plant::DraftRowBeyond => match (&mut self.draft_rows, self.problem.draft) {
                (Some(named), Some(draft)) => named[first] = draft.rows as i32,
                _ => return false,
            },
            Plant::DraftScoreNan => return self.set_draft(sequence, first, 1, f32::NAN),
            Plant::DraftNoMass => {
                let vocabulary = self.problem.vocabulary as usize;
                return self.set_draft(sequence, first, vocabulary, f32::NEG_INFINITY);
            }
        }
        true
    }

    fn set_target(&mut self, row: usize, token: usize, score: f32) {
        let item = row * self.strides.target_row as usize + token;
        self.target.set(self.problem.target.dtype, item, score);
    }

    fn set_parent(&mut self, row: usize, parent: i32) -> bool {
        self.parents.as_mut().map(|parents| parents[row] = parent).is_some()
    }

    /// Sets the first `tokens` scores of the draft behind the first row of a sequence.
    fn set_draft(&mut self, sequence: usize, first: usize, tokens: usize, score: f32) -> bool {
        let own = match &self.draft_rows {
            Some(named) => named[first] as usize,
            None => sequence * (self.problem.rows as usize - 1),
        };
        let (Some(array), Some(draft)) = (&mut self.draft, self.problem.draft) else { return false };
        let start = own * self.strides.draft_row as usize;
        (start..start + tokens).for_each(|item| _ = array.set(draft.scores.dtype, item, score));
        true
    }
}
