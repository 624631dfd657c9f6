//! The arrays of an acceptance: how they are strided, and views of those that lie in host memory.

use dustin_kernels::fault::Fault;

use super::{
    OPERATION,
    problem::{AcceptProblem, ScoreType},
};
use crate::{
    element::decode,
    error::{InvalidInput, require_items},
    strides::{require_rows, span},
};

/// Distances between rows, in items of the array they belong to (elements, not bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AcceptStrides {
    /// From one row of the target's scores to the next. Rows whose address is a multiple of four items are read fastest.
    pub target_row: u64,
    /// From one row of the draft's scores to the next; without meaning where there are none.
    pub draft_row: u64,
    /// From one sequence's emitted tokens to the next's.
    pub emitted: u64,
    /// From one sequence's path to the next.
    pub path: u64,
}

impl AcceptStrides {
    /// Arrays without gaps: scores `[rows, vocabulary]`, emitted tokens and paths `[batch, rows]`.
    #[must_use]
    pub fn dense(problem: &AcceptProblem) -> Self {
        let (vocabulary, rows) = (problem.vocabulary.into(), problem.rows.into());
        Self { target_row: vocabulary, draft_row: vocabulary, emitted: rows, path: rows }
    }

    /// Checks the strides of `problem`'s arrays, which must be valid itself.
    ///
    /// # Errors
    /// The first stride that lets rows overlap, or that is absurd.
    pub fn validate(&self, problem: &AcceptProblem) -> Result<(), InvalidInput> {
        require_rows(OPERATION, "strides.target_row", self.target_row, problem.vocabulary)?;
        if problem.draft.is_some() {
            require_rows(OPERATION, "strides.draft_row", self.draft_row, problem.vocabulary)?;
        }
        require_rows(OPERATION, "strides.emitted", self.emitted, problem.rows)?;
        require_rows(OPERATION, "strides.path", self.path, problem.rows)
    }

    /// Items of the array of the target's scores.
    #[must_use]
    pub fn target_extent(&self, problem: &AcceptProblem) -> u64 {
        span(problem.total_rows.into(), self.target_row, problem.vocabulary.into())
    }

    /// Items of the array of the draft's scores, 0 if there are none.
    #[must_use]
    pub fn draft_extent(&self, problem: &AcceptProblem) -> u64 {
        problem.draft.map_or(0, |draft| span(draft.rows.into(), self.draft_row, problem.vocabulary.into()))
    }

    /// Items of the array of emitted tokens.
    #[must_use]
    pub fn emitted_extent(&self, problem: &AcceptProblem) -> u64 {
        span(problem.batch.into(), self.emitted, problem.rows.into())
    }

    /// Items of the array of paths.
    #[must_use]
    pub fn path_extent(&self, problem: &AcceptProblem) -> u64 {
        span(problem.batch.into(), self.path, problem.rows.into())
    }
}

/// Scores in host memory.
#[derive(Clone, Copy, Debug)]
pub enum ScoreItems<'a> {
    /// f32.
    F32(&'a [f32]),
    /// 16-bit items as their bits.
    Half(&'a [u16]),
}

impl ScoreItems<'_> {
    /// Items.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::F32(items) => items.len(),
            Self::Half(items) => items.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Item `index` of items of type `dtype`, which must be theirs.
    pub(crate) fn get(&self, dtype: ScoreType, index: u64) -> f32 {
        match (self, dtype) {
            (Self::F32(items), _) => items[index as usize],
            (Self::Half(items), ScoreType::F16) => decode(crate::Dtype::F16, items[index as usize]),
            (Self::Half(items), _) => decode(crate::Dtype::Bf16, items[index as usize]),
        }
    }

    fn validate(&self, field: &'static str, dtype: ScoreType, required: u64) -> Result<(), InvalidInput> {
        if matches!(self, Self::F32(_)) != (dtype == ScoreType::F32) {
            let actual = if matches!(self, Self::F32(_)) { "f32" } else { "16-bit items" };
            return Err(InvalidInput::new(OPERATION, field, format!("of type {dtype:?}"), actual));
        }
        require_items(OPERATION, field, self.len(), required)
    }
}

/// What acceptance reads, in host memory. The shapes are those of [`Params`](dustin_kernels::accept::params::Params).
#[derive(Clone, Copy, Debug)]
pub struct AcceptArrays<'a> {
    /// The target's scores, `[total_rows, vocabulary]`.
    pub target: ScoreItems<'a>,
    /// The draft's, `[draft.rows, vocabulary]`, if the problem has them.
    pub draft: Option<ScoreItems<'a>>,
    /// The row of the draft's scores that the drafts behind each row were drawn from, `[total_rows]`; negative: there are none.
    /// Given for trees that have such scores.
    pub draft_rows: Option<&'a [i32]>,
    /// The token of each row, `[total_rows]`.
    pub tokens: &'a [i32],
    /// The row that each row continues, counted from its sequence's first, `[total_rows]`, given for trees.
    pub parents: Option<&'a [i32]>,
    /// First row of each sequence and, last, the number of rows, `[batch + 1]`.
    pub row_starts: &'a [i32],
    /// Temperature of each sequence, `[batch]`; 0: greedy.
    pub temperatures: &'a [f32],
    /// Seed of each sequence, `[batch]`. What drafts were drawn by must not follow from it.
    pub seeds: &'a [u64],
    /// How many steps have been taken before this one. The step draws with one more, which is what a device counts up to.
    pub step: u64,
    /// Confirmed lengths, `[batch]`, given if new ones are asked for.
    pub lengths: Option<&'a [i32]>,
    /// Distances between rows.
    pub strides: AcceptStrides,
}

/// Refuses an array that is missing, or that the problem does not ask for.
pub(super) fn require_presence(field: &'static str, given: bool, asked: bool) -> Result<(), InvalidInput> {
    if given == asked {
        return Ok(());
    }
    let required = if asked { "given" } else { "missing, as the problem asks for none" };
    Err(InvalidInput::new(OPERATION, field, required, if given { "given" } else { "missing" }))
}

impl AcceptArrays<'_> {
    /// Checks the problem, the strides, and that every array is there that should be, and holds what the shapes ask for.
    ///
    /// # Errors
    /// The first field that is not as documented, or the first array that is missing, not asked for or too short.
    pub fn validate(&self, problem: &AcceptProblem) -> Result<(), InvalidInput> {
        problem.validate()?;
        self.strides.validate(problem)?;
        self.target.validate("target", problem.target.dtype, self.strides.target_extent(problem))?;
        require_presence("draft", self.draft.is_some(), problem.draft.is_some())?;
        if let (Some(items), Some(draft)) = (self.draft, problem.draft) {
            items.validate("draft", draft.scores.dtype, self.strides.draft_extent(problem))?;
        }
        let (batch, rows) = (u64::from(problem.batch), u64::from(problem.total_rows));
        for (field, array, asked, required) in [
            ("draft_rows", self.draft_rows, problem.names_draft_rows(), rows),
            ("parents", self.parents, problem.tree, rows),
            ("lengths", self.lengths, problem.new_lengths, batch),
        ] {
            require_presence(field, array.is_some(), asked)?;
            array.map_or(Ok(()), |array| require_items(OPERATION, field, array.len(), required))?;
        }
        for (field, actual, required) in [
            ("tokens", self.tokens.len(), rows),
            ("row_starts", self.row_starts.len(), batch + 1),
            ("temperatures", self.temperatures.len(), batch),
            ("seeds", self.seeds.len(), batch),
        ] {
            require_items(OPERATION, field, actual, required)?;
        }
        Ok(())
    }

    /// The first row of `sequence` in the batch, and how many it has.
    ///
    /// # Errors
    /// They are outside the batch's, or more than the capacity.
    pub(crate) fn rows(&self, problem: &AcceptProblem, sequence: u32) -> Result<(u32, u32), Fault> {
        let at = sequence as usize;
        let (first, last) = (i64::from(self.row_starts[at]), i64::from(self.row_starts[at + 1]));
        let inside = first >= 0 && last <= i64::from(problem.total_rows);
        if !inside || !(0..=i64::from(problem.rows)).contains(&(last - first)) {
            return Err(Fault::Rows);
        }
        Ok((first as u32, (last - first) as u32))
    }

    /// The temperature of `sequence`.
    ///
    /// # Errors
    /// It is negative or NaN: then it counts as 0.
    pub(crate) fn temperature(&self, sequence: u32) -> Result<f32, Fault> {
        let temperature = self.temperatures[sequence as usize];
        if temperature >= 0.0 { Ok(temperature) } else { Err(Fault::Temperature) }
    }

    /// The row that `row`, not the first, of a sequence continues whose first one is `first_row` in the batch.
    ///
    /// # Errors
    /// It continues one that is not before it, or its token is outside the vocabulary: then it is not tried.
    pub(crate) fn parent(&self, problem: &AcceptProblem, first_row: u32, row: u32) -> Result<u32, Fault> {
        let at = (first_row + row) as usize;
        let parent = self.parents.map_or(row as i32 - 1, |parents| parents[at]);
        if !(0..row as i32).contains(&parent) {
            return Err(Fault::Parent);
        }
        let token = self.tokens[at];
        if !(0..problem.vocabulary as i32).contains(&token) {
            return Err(Fault::Token);
        }
        Ok(parent as u32)
    }

    /// Whether the first row of a sequence, `first_row` in the batch, continues none.
    pub(crate) fn starts(&self, first_row: u32) -> bool {
        self.parents.is_none_or(|parents| parents[first_row as usize] == -1)
    }

    /// The row of the draft's scores that the drafts behind `row` of `sequence`, which has `rows` from `first_row` on, were drawn
    /// from; nothing where there are none.
    ///
    /// # Errors
    /// There is no such row.
    pub(crate) fn draft_row(
        &self,
        problem: &AcceptProblem,
        sequence: u32,
        (first_row, rows): (u32, u32),
        row: u32,
    ) -> Result<Option<u32>, Fault> {
        let Some(draft) = problem.draft else { return Ok(None) };
        let Some(named) = self.draft_rows else {
            return Ok((row + 1 < rows).then(|| sequence * (problem.rows - 1) + row));
        };
        match u32::try_from(named[(first_row + row) as usize]) {
            Err(_) => Ok(None),
            Ok(named) if named < draft.rows => Ok(Some(named)),
            Ok(_) => Err(Fault::DraftRow),
        }
    }
}

/// What acceptance writes, in host memory.
#[derive(Debug)]
pub struct AcceptOutput<'a> {
    /// Drafts that each sequence accepts, `[batch]`.
    pub accepted: &'a mut [i32],
    /// The accepted drafts' tokens and, behind them, the next one, `[batch, rows]`; -1 behind that.
    pub emitted: &'a mut [i32],
    /// The rows of the walk, from row 0, `[batch, rows]`; -1 behind them: as
    /// [compaction](crate::cache::compact::arrays::CompactArrays::accepted) takes them without counts.
    pub path: &'a mut [i32],
    /// The last row of each path, `[batch]`; -1 for a sequence without rows: as
    /// [capture](crate::cache::capture::arrays::CaptureArrays::rows) takes them.
    pub last_rows: &'a mut [i32],
    /// Confirmed lengths and, on top, the rows of the path, `[batch]`, if asked for; at most 2^31 - 1.
    pub new_lengths: Option<&'a mut [i32]>,
}

impl AcceptOutput<'_> {
    /// Checks that every array is there that should be, and holds what the shapes of `problem` ask for.
    ///
    /// # Errors
    /// The first array that is missing, not asked for or too short.
    pub fn validate(&self, problem: &AcceptProblem, strides: &AcceptStrides) -> Result<(), InvalidInput> {
        let batch = u64::from(problem.batch);
        for (field, actual, required) in [
            ("accepted", self.accepted.len(), batch),
            ("emitted", self.emitted.len(), strides.emitted_extent(problem)),
            ("path", self.path.len(), strides.path_extent(problem)),
            ("last_rows", self.last_rows.len(), batch),
        ] {
            require_items(OPERATION, field, actual, required)?;
        }
        require_presence("new_lengths", self.new_lengths.is_some(), problem.new_lengths)?;
        let new_lengths = self.new_lengths.as_ref();
        new_lengths.map_or(Ok(()), |items| require_items(OPERATION, "new_lengths", items.len(), batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept::synthetic::AcceptInput;

    #[test]
    fn arrays_that_are_missing_too_short_or_not_asked_for_are_refused_by_name() {
        let input = (0..200)
            .map(|seed| AcceptInput::random(seed, 20, 4).unwrap())
            .find(|input| {
                let AcceptProblem { tree, draft, new_lengths, .. } = input.problem;
                tree && new_lengths && draft.is_some_and(|draft| draft.scores.dtype != ScoreType::F32)
            })
            .unwrap();
        let (problem, good) = (input.problem, input.arrays());
        assert_eq!(good.validate(&problem), Ok(()));
        let field = |change: &dyn Fn(&mut AcceptArrays<'_>)| {
            let mut arrays = good;
            change(&mut arrays);
            arrays.validate(&problem).unwrap_err().field
        };
        assert_eq!(field(&|a| a.draft = None), "draft");
        assert_eq!(field(&|a| a.draft = Some(ScoreItems::F32(&[0.0; 9999]))), "draft");
        assert_eq!(field(&|a| a.draft = Some(ScoreItems::Half(&[]))), "draft");
        assert_eq!(field(&|a| a.target = ScoreItems::Half(&[])), "target");
        assert_eq!(field(&|a| a.draft_rows = None), "draft_rows");
        assert_eq!(field(&|a| a.parents = Some(&[])), "parents");
        assert_eq!(field(&|a| a.lengths = None), "lengths");
        assert_eq!(field(&|a| a.tokens = &[]), "tokens");
        assert_eq!(field(&|a| a.row_starts = &a.row_starts[1..]), "row_starts");
        assert_eq!(field(&|a| a.temperatures = &a.temperatures[1..]), "temperatures");
        assert_eq!(field(&|a| a.seeds = &a.seeds[1..]), "seeds");
        assert_eq!(field(&|a| a.strides.target_row = 0), "strides.target_row");
        assert_eq!(field(&|a| a.strides.draft_row = 0), "strides.draft_row");
        assert_eq!(field(&|a| a.strides.emitted = 0), "strides.emitted");
        assert_eq!(field(&|a| a.strides.path = 1 << 41), "strides.path");
        let chain = AcceptProblem { tree: false, draft: None, ..problem };
        assert_eq!(good.validate(&chain).unwrap_err().field, "draft");
    }

    #[test]
    fn outputs_that_are_missing_too_short_or_not_asked_for_are_refused_by_name() {
        let input = AcceptInput::random(3, 20, 4).unwrap();
        let problem = AcceptProblem { new_lengths: true, ..input.problem };
        let strides = AcceptStrides::dense(&problem);
        let items = (problem.batch * problem.rows) as usize;
        let field = |short: &str, problem: &AcceptProblem| {
            let array = |name: &str, items: usize| vec![0; items - usize::from(name == short)];
            let batch = problem.batch as usize;
            let mut arrays =
                [array("accepted", batch), array("last_rows", batch), array("new_lengths", batch)];
            let [accepted, last_rows, new_lengths] = &mut arrays;
            let (mut emitted, mut path) = (array("emitted", items), array("path", items));
            let (emitted, path) = (&mut emitted[..], &mut path[..]);
            let output = AcceptOutput { accepted, emitted, path, last_rows, new_lengths: Some(new_lengths) };
            output.validate(problem, &strides).err().map(|error| error.field)
        };
        assert_eq!(field("", &problem), None);
        for name in ["accepted", "emitted", "path", "last_rows", "new_lengths"] {
            assert_eq!(field(name, &problem), Some(name));
        }
        assert_eq!(field("", &AcceptProblem { new_lengths: false, ..problem }), Some("new_lengths"));
    }
}
