//! The arrays of a selection problem: how they are strided, and views of those that lie in host memory.

use crate::{
    error::{InvalidInput, require_items},
    select::problem::SelectProblem,
    strides::{require_rows, span},
};

const OPERATION: &str = "selection";

/// Distances between rows, in items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SelectStrides {
    /// From one sequence's block table to the next; unused where no slots are asked for.
    pub table: u64,
    /// From one sequence's set to the next, in positions and in slots.
    pub set: u64,
}

impl SelectStrides {
    /// Arrays without gaps: tables `[batch, table_width]`, sets `[batch, budget]`.
    #[must_use]
    pub fn dense(problem: &SelectProblem) -> Self {
        Self { table: problem.table.map_or(0, |table| table.table_width.into()), set: problem.budget.into() }
    }

    /// Checks the strides of `problem`'s arrays, which must be valid itself.
    ///
    /// # Errors
    /// The first stride that lets rows overlap, or that is absurd.
    pub fn validate(&self, problem: &SelectProblem) -> Result<(), InvalidInput> {
        let width = problem.table.map_or(0, |table| table.table_width);
        require_rows(OPERATION, "strides.table", self.table, width)?;
        require_rows(OPERATION, "strides.set", self.set, problem.budget)
    }

    /// Items of the array of block tables; 0 where no slots are asked for.
    #[must_use]
    pub fn table_extent(&self, problem: &SelectProblem) -> u64 {
        problem.table.map_or(0, |table| span(problem.batch.into(), self.table, table.table_width.into()))
    }

    /// Items of the array of sets, in positions and in slots.
    #[must_use]
    pub fn set_extent(&self, problem: &SelectProblem) -> u64 {
        span(problem.batch.into(), self.set, problem.budget.into())
    }
}

/// What selection reads, in host memory. The shapes are those of
/// [`Params`](dustin_kernels::select::params::Params).
#[derive(Clone, Copy, Debug)]
pub struct SelectArrays<'a> {
    /// The draft's importance map, `[map_capacity]`; given if the problem has one.
    pub draft: Option<&'a [f32]>,
    /// The target's importance map, `[map_capacity]`; given if the problem has one.
    pub target: Option<&'a [f32]>,
    /// First position of each sequence's part of the maps and, last, the end, `[batch + 1]`. Without maps, the parts only say
    /// how many positions each sequence may have.
    pub map_starts: &'a [i32],
    /// Confirmed lengths, `[batch]`.
    pub lengths: &'a [i32],
    /// The slot that each sequence's target map was scored from, `[batch]`: negative where it has none; given if the
    /// problem counts slots.
    pub target_slots: Option<&'a [i32]>,
    /// Physical page numbers, `[batch, table_width]`; given if the problem asks for slots.
    pub block_table: Option<&'a [i32]>,
    /// Distances between rows.
    pub strides: SelectStrides,
}

impl SelectArrays<'_> {
    /// Checks the problem, the strides, and that every array is there that should be, and holds what the shapes ask for.
    ///
    /// # Errors
    /// The first field that is not as documented, the first array that is missing or not asked for, or that is too short.
    pub fn validate(&self, problem: &SelectProblem) -> Result<(), InvalidInput> {
        problem.validate()?;
        self.strides.validate(problem)?;
        require_presence("draft", self.draft.is_some(), problem.maps.draft())?;
        require_presence("target", self.target.is_some(), problem.maps.target())?;
        require_presence("block_table", self.block_table.is_some(), problem.table.is_some())?;
        require_presence("target_slots", self.target_slots.is_some(), problem.slots.is_some())?;
        let (batch, maps) = (u64::from(problem.batch), u64::from(problem.map_capacity));
        let tables = self.strides.table_extent(problem);
        let items = |array: Option<&[i32]>| array.map(<[_]>::len);
        for (field, actual, required) in [
            ("draft", self.draft.map(<[_]>::len), maps),
            ("target", self.target.map(<[_]>::len), maps),
            ("map_starts", Some(self.map_starts.len()), batch + 1),
            ("lengths", Some(self.lengths.len()), batch),
            ("target_slots", items(self.target_slots), batch),
            ("block_table", items(self.block_table), tables),
        ] {
            if let Some(actual) = actual {
                require_items(OPERATION, field, actual, required)?;
            }
        }
        Ok(())
    }
}

/// Where selection writes, in host memory.
#[derive(Debug)]
pub struct SelectOutput<'a> {
    /// Positions of the sets, `[batch, budget]`; what lies behind a set's size is left as it is.
    pub set: &'a mut [i32],
    /// The same tokens as physical slots, `[batch, budget]`; given if the problem asks for them.
    pub physical: Option<&'a mut [i32]>,
    /// Positions in each set, or the flag EVERYTHING, `[batch]`.
    pub set_sizes: &'a mut [i32],
}

impl SelectOutput<'_> {
    /// Checks that the arrays hold the sets of `problem`, which must be valid as its strides are.
    ///
    /// # Errors
    /// The first array that is missing or not asked for, or that is too short.
    pub fn validate(&self, problem: &SelectProblem, strides: &SelectStrides) -> Result<(), InvalidInput> {
        require_presence("physical", self.physical.is_some(), problem.table.is_some())?;
        let sets = strides.set_extent(problem);
        require_items(OPERATION, "set", self.set.len(), sets)?;
        require_items(OPERATION, "set_sizes", self.set_sizes.len(), problem.batch.into())?;
        self.physical.as_ref().map_or(Ok(()), |items| require_items(OPERATION, "physical", items.len(), sets))
    }
}

/// Refuses an array that is missing, or that the problem does not ask for.
pub(crate) fn require_presence(field: &'static str, given: bool, asked: bool) -> Result<(), InvalidInput> {
    if given == asked {
        return Ok(());
    }
    let required = if asked { "given" } else { "missing, as the problem asks for none" };
    Err(InvalidInput::new(OPERATION, field, required, if given { "given" } else { "missing" }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::problem::{Maps, SlotTable};

    fn problem() -> SelectProblem {
        SelectProblem {
            maps: Maps::Both,
            slots: Some(2),
            table: Some(SlotTable { pages: 4, page_size: 2, table_width: 3 }),
            ..SelectProblem::plain(2, 12, 5)
        }
    }

    #[test]
    fn arrays_that_are_missing_too_short_or_not_asked_for_are_refused_by_name() {
        let problem = problem();
        let (map, items) = ([0.0; 12], [0; 6]);
        let good = SelectArrays {
            draft: Some(&map),
            target: Some(&map),
            map_starts: &items[..3],
            lengths: &items[..2],
            target_slots: Some(&items[..2]),
            block_table: Some(&items),
            strides: SelectStrides::dense(&problem),
        };
        assert_eq!(good.validate(&problem), Ok(()));
        let field = |arrays: SelectArrays<'_>| arrays.validate(&problem).unwrap_err().field;
        assert_eq!(field(SelectArrays { draft: None, ..good }), "draft");
        assert_eq!(field(SelectArrays { draft: Some(&map[1..]), ..good }), "draft");
        assert_eq!(field(SelectArrays { target: None, ..good }), "target");
        assert_eq!(field(SelectArrays { target: Some(&map[1..]), ..good }), "target");
        assert_eq!(field(SelectArrays { map_starts: &items[..2], ..good }), "map_starts");
        assert_eq!(field(SelectArrays { lengths: &items[..1], ..good }), "lengths");
        assert_eq!(field(SelectArrays { target_slots: Some(&[]), ..good }), "target_slots");
        assert_eq!(field(SelectArrays { target_slots: None, ..good }), "target_slots");
        assert_eq!(field(SelectArrays { block_table: None, ..good }), "block_table");
        assert_eq!(field(SelectArrays { block_table: Some(&items[1..]), ..good }), "block_table");
        assert_eq!(
            field(SelectArrays { strides: SelectStrides { table: 2, set: 5 }, ..good }),
            "strides.table"
        );
        assert_eq!(
            field(SelectArrays { strides: SelectStrides { table: 3, set: 4 }, ..good }),
            "strides.set"
        );

        let only = |maps| SelectProblem { maps, quota: 0, slots: None, ..problem };
        assert_eq!(good.validate(&only(Maps::Target)).unwrap_err().field, "draft");
        assert_eq!(good.validate(&only(Maps::Draft)).unwrap_err().field, "target");
        let draft = SelectArrays { target: None, ..good };
        assert_eq!(draft.validate(&only(Maps::Draft)).unwrap_err().field, "target_slots");
        let plain = SelectProblem { table: None, ..problem };
        assert_eq!(good.validate(&plain).unwrap_err().field, "block_table");
    }

    #[test]
    fn outputs_that_are_missing_too_short_or_not_asked_for_are_refused_by_name() {
        let problem = problem();
        let strides = SelectStrides { set: 7, ..SelectStrides::dense(&problem) };
        assert_eq!(strides.set_extent(&problem), 12);
        let field = |problem: &SelectProblem, set: usize, physical: Option<usize>, sizes: usize| {
            let (mut set, mut sizes) = (vec![0; set], vec![0; sizes]);
            let mut physical = physical.map(|items| vec![0; items]);
            let output =
                SelectOutput { set: &mut set, physical: physical.as_deref_mut(), set_sizes: &mut sizes };
            output.validate(problem, &strides).err().map(|error| error.field)
        };
        assert_eq!(field(&problem, 12, Some(12), 2), None);
        assert_eq!(field(&problem, 11, Some(12), 2), Some("set"));
        assert_eq!(field(&problem, 12, Some(11), 2), Some("physical"));
        assert_eq!(field(&problem, 12, None, 2), Some("physical"));
        assert_eq!(field(&problem, 12, Some(12), 1), Some("set_sizes"));
        let plain = SelectProblem { table: None, ..problem };
        assert_eq!(field(&plain, 12, Some(12), 2), Some("physical"));
    }
}
