//! What a caller asks of acceptance, in what the host knows.

use dustin_kernels::accept::{
    params::{dtype, kind, proposal},
    rows::CHUNK,
    smem::MAX_ROWS,
};

use super::OPERATION;
use crate::error::InvalidInput;

/// The item type of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScoreType {
    /// f32.
    F32,
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
}

impl ScoreType {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::F16];

    /// Bytes of an item.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }

    pub(super) const fn code(self) -> u32 {
        match self {
            Self::F32 => dtype::F32,
            Self::Bf16 => dtype::BF16,
            Self::F16 => dtype::F16,
        }
    }
}

/// What a score says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScoreKind {
    /// A logit: the token's weight is `exp(logit / temperature)`.
    Logits,
    /// A probability, with the temperature at work already: the sequence's only says whether it is greedy.
    Probabilities,
}

impl ScoreKind {
    pub(super) const fn code(self) -> u32 {
        match self {
            Self::Logits => kind::LOGITS,
            Self::Probabilities => kind::PROBABILITIES,
        }
    }
}

/// The scores of one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scores {
    /// Item type.
    pub dtype: ScoreType,
    /// What they say.
    pub kind: ScoreKind,
}

/// The distributions that drafts were drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Draft {
    /// The draft model's scores, at the sequence's temperature where they are logits.
    pub scores: Scores,
    /// Rows of them: for chains `batch · (rows - 1)` at least, those of a sequence one behind the other; for trees any number.
    pub rows: u32,
    /// Whether the drafts behind one row were drawn without replacement; else each independently. Chains have only one.
    pub without_replacement: bool,
}

/// The acceptance of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AcceptProblem {
    /// Sequences in the batch, 1 to 65,535.
    pub batch: u32,
    /// The most rows that one sequence may have (γ + 1): 1 to 64.
    pub rows: u32,
    /// Rows in the whole batch: at most `batch · rows`.
    pub total_rows: u32,
    /// Tokens: 1 to 2^27.
    pub vocabulary: u32,
    /// The target's scores, of every row.
    pub target: Scores,
    /// What drafts were drawn from. Nothing: each draft counts as certain, as one that was looked up or is the draft model's
    /// best. Greedy sequences do without.
    pub draft: Option<Draft>,
    /// Whether an array says which row each row continues, and one which row of the draft's scores the drafts behind it were
    /// drawn from; else each continues the one before.
    pub tree: bool,
    /// Whether new lengths are written.
    pub new_lengths: bool,
}

impl AcceptProblem {
    /// Parts that a row's scores are looked at in.
    #[must_use]
    pub const fn chunks(&self) -> u32 {
        self.vocabulary.div_ceil(CHUNK)
    }

    /// Whether an array names rows of the draft's scores.
    #[must_use]
    pub const fn names_draft_rows(&self) -> bool {
        self.tree && self.draft.is_some()
    }

    pub(super) const fn proposal(&self) -> u32 {
        match self.draft {
            None => proposal::CERTAIN,
            Some(Draft { without_replacement: true, .. }) => proposal::WITHOUT_REPLACEMENT,
            Some(_) => proposal::INDEPENDENT,
        }
    }

    /// Bytes that acceptance must move at the least when every sequence is sampled and all drafts are of a chain: each row of
    /// scores read once.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let vocabulary = u64::from(self.vocabulary);
        let target = u64::from(self.total_rows) * vocabulary * self.target.dtype.bytes();
        let drafts = u64::from(self.total_rows.saturating_sub(self.batch));
        target + self.draft.map_or(0, |draft| drafts * vocabulary * draft.scores.dtype.bytes())
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is not as documented.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        let all_rows = u64::from(self.batch) * u64::from(self.rows);
        for (field, actual, most) in [
            ("batch", self.batch, 65_535),
            ("rows", self.rows, u64::from(MAX_ROWS)),
            ("total_rows", self.total_rows, all_rows),
            ("vocabulary", self.vocabulary, 1 << 27),
        ] {
            if actual == 0 || u64::from(actual) > most {
                return Err(InvalidInput::new(OPERATION, field, format!("from 1 to {most}"), actual));
            }
        }
        let Some(draft) = self.draft else { return Ok(()) };
        let chains = if self.tree { 1 } else { (all_rows - u64::from(self.batch)).max(1) };
        if u64::from(draft.rows) < chains || draft.rows > i32::MAX as u32 {
            let required = format!("from {chains} to 2^31 - 1");
            return Err(InvalidInput::new(OPERATION, "draft.rows", required, draft.rows));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_out_of_range_is_refused_by_name() {
        let scores = Scores { dtype: ScoreType::F32, kind: ScoreKind::Logits };
        let draft = Draft { scores, rows: 64, without_replacement: false };
        let good = AcceptProblem {
            batch: 16,
            rows: 5,
            total_rows: 80,
            vocabulary: 152_064,
            target: scores,
            draft: Some(draft),
            tree: false,
            new_lengths: true,
        };
        assert_eq!(good.validate(), Ok(()));
        assert_eq!((good.chunks(), good.bytes()), (19, 144 * 152_064 * 4));
        assert_eq!(AcceptProblem { draft: None, ..good }.validate(), Ok(()));
        let field = |change: fn(&mut AcceptProblem)| {
            let mut problem = good;
            change(&mut problem);
            problem.validate().unwrap_err().field
        };
        assert_eq!(field(|p| p.batch = 0), "batch");
        assert_eq!(field(|p| p.batch = 65_536), "batch");
        assert_eq!(field(|p| p.rows = 0), "rows");
        assert_eq!(field(|p| p.rows = 65), "rows");
        assert_eq!(field(|p| p.total_rows = 81), "total_rows");
        assert_eq!(field(|p| p.vocabulary = 0), "vocabulary");
        assert_eq!(field(|p| p.vocabulary = (1 << 27) + 1), "vocabulary");
        let with_rows = |rows, tree| AcceptProblem { draft: Some(Draft { rows, ..draft }), tree, ..good };
        assert_eq!(with_rows(63, false).validate().unwrap_err().field, "draft.rows");
        assert_eq!(with_rows(1, true).validate(), Ok(()));
        assert_eq!(with_rows(0, true).validate().unwrap_err().field, "draft.rows");
        let rowless = AcceptProblem { rows: 1, total_rows: 16, ..with_rows(1, false) };
        assert_eq!(rowless.validate(), Ok(()));
    }
}
