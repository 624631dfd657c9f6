//! Judges a back end's sets by the reference: bit for bit, and that nothing else was written.

use dustin_kernels::fault::Fault;

use crate::select::{
    arrays::SelectStrides,
    problem::SelectProblem,
    reference::{Reference, Selection},
};

/// What the arrays of an output hold before a launch that is compared: neither a position, nor a slot, nor a size.
pub const UNWRITTEN: i32 = i32::MIN + 0x5eed;

/// What a back end gave, in arrays that held [`UNWRITTEN`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// Positions of the sets, strided as the problem's arrays are.
    pub set: Vec<i32>,
    /// Their physical slots, if asked for.
    pub physical: Option<Vec<i32>>,
    /// Sizes of the sets.
    pub set_sizes: Vec<i32>,
    /// The status word.
    pub status: u64,
}

impl Selected {
    /// The arrays of an output for `problem`, unwritten.
    #[must_use]
    pub fn unwritten(problem: &SelectProblem, strides: &SelectStrides) -> Self {
        let items = strides.set_extent(problem) as usize;
        Self {
            set: vec![UNWRITTEN; items],
            physical: problem.table.map(|_| vec![UNWRITTEN; items]),
            set_sizes: vec![UNWRITTEN; problem.batch as usize],
            status: 0,
        }
    }
}

/// An output that is not what the reference says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// An array is not of the problem's size.
    #[error("{what} must have {required} items, but has {actual}")]
    Items {
        /// The array.
        what: &'static str,
        /// Items asked for.
        required: usize,
        /// Items found.
        actual: usize,
    },
    /// Another status word.
    #[error("the status must be {}, but is {}", name(*.expected), name(*.actual))]
    Status {
        /// The reference.
        expected: u64,
        /// The word found.
        actual: u64,
    },
    /// Another size of a set.
    #[error("the set's size of sequence {sequence} must be {expected}, but is {actual}")]
    Size {
        /// The sequence.
        sequence: usize,
        /// The reference.
        expected: i32,
        /// The size found.
        actual: i32,
    },
    /// Another item of a set.
    #[error("entry {entry} of {what} of sequence {sequence} must be {expected}, but is {actual}")]
    Entry {
        /// Positions or slots.
        what: &'static str,
        /// The sequence.
        sequence: usize,
        /// The entry of its set.
        entry: usize,
        /// The reference.
        expected: i32,
        /// The item found.
        actual: i32,
    },
    /// An item that belongs to no set was written.
    #[error("item {item} of {what} belongs to no set, but was written: {actual}")]
    Written {
        /// Positions or slots.
        what: &'static str,
        /// The item of the array.
        item: usize,
        /// What was written.
        actual: i32,
    },
}

fn name(word: u64) -> String {
    match Fault::parse(word) {
        Some((fault, sequence)) => format!("{fault:?} of sequence {sequence}"),
        None => format!("{word:#x}"),
    }
}

/// Compares what a back end gave for `problem` with the reference.
///
/// # Errors
/// The first difference: of the status word, of a size, of a position, of a slot, or of what must not be written.
pub fn compare(
    problem: &SelectProblem,
    strides: &SelectStrides,
    reference: &Reference,
    selected: &Selected,
) -> Result<(), Mismatch> {
    let items = strides.set_extent(problem) as usize;
    let physical = selected.physical.as_ref().map_or(0, Vec::len);
    for (what, required, actual) in [
        ("set", items, selected.set.len()),
        ("physical", if problem.table.is_some() { items } else { 0 }, physical),
        ("set_sizes", reference.sets.len(), selected.set_sizes.len()),
    ] {
        if required != actual {
            return Err(Mismatch::Items { what, required, actual });
        }
    }
    if selected.status != reference.status {
        return Err(Mismatch::Status { expected: reference.status, actual: selected.status });
    }
    for (sequence, (set, &actual)) in reference.sets.iter().zip(&selected.set_sizes).enumerate() {
        let expected = set.size();
        if expected != actual {
            return Err(Mismatch::Size { sequence, expected, actual });
        }
    }
    let stride = strides.set as usize;
    compare_items("the positions", stride, reference, &selected.set, |set| match set {
        Selection::Set { positions, .. } => positions,
        Selection::Everything => &[],
    })?;
    let slots = selected.physical.as_deref().unwrap_or_default();
    compare_items("the slots", stride, reference, slots, |set| match set {
        Selection::Set { physical: Some(slots), .. } => slots,
        _ => &[],
    })
}

fn compare_items(
    what: &'static str,
    stride: usize,
    reference: &Reference,
    items: &[i32],
    expected: impl Fn(&Selection) -> &[i32],
) -> Result<(), Mismatch> {
    // The last row may lack the gap behind it.
    for (sequence, (set, row)) in reference.sets.iter().zip(items.chunks(stride)).enumerate() {
        let expected = expected(set);
        for (entry, (&expected, &actual)) in expected.iter().zip(row).enumerate() {
            if expected != actual {
                return Err(Mismatch::Entry { what, sequence, entry, expected, actual });
            }
        }
        let behind = row.iter().enumerate().skip(expected.len());
        if let Some((entry, &actual)) = behind.into_iter().find(|&(_, &item)| item != UNWRITTEN) {
            return Err(Mismatch::Written { what, item: sequence * stride + entry, actual });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::problem::SlotTable;

    /// One sequence with a set of two positions, and one with everything.
    fn case() -> (SelectProblem, SelectStrides, Reference, Selected) {
        let table = Some(SlotTable { pages: 9, page_size: 1, table_width: 9 });
        let problem = SelectProblem { table, ..SelectProblem::plain(2, 20, 3) };
        let strides = SelectStrides { set: 4, ..SelectStrides::dense(&problem) };
        let set = Selection::Set { positions: vec![3, 5], physical: Some(vec![7, 1]) };
        let reference = Reference { sets: vec![set, Selection::Everything], status: Fault::Page.word(1) };
        let mut selected = Selected::unwritten(&problem, &strides);
        selected.set[..2].copy_from_slice(&[3, 5]);
        selected.physical.as_mut().unwrap()[..2].copy_from_slice(&[7, 1]);
        selected.set_sizes = vec![2, -1];
        selected.status = Fault::Page.word(1);
        (problem, strides, reference, selected)
    }

    #[test]
    fn what_the_reference_says_is_accepted() {
        let (problem, strides, reference, selected) = case();
        assert_eq!(compare(&problem, &strides, &reference, &selected), Ok(()));
    }

    #[test]
    fn every_difference_is_found_and_named() {
        let message = |change: fn(&mut Selected)| {
            let (problem, strides, reference, mut selected) = case();
            change(&mut selected);
            compare(&problem, &strides, &reference, &selected).unwrap_err().to_string()
        };
        assert_eq!(message(|s| s.set.truncate(6)), "set must have 7 items, but has 6");
        assert_eq!(message(|s| s.physical = None), "physical must have 7 items, but has 0");
        assert_eq!(message(|s| s.set_sizes.push(0)), "set_sizes must have 2 items, but has 3");
        assert_eq!(message(|s| s.status = 0), "the status must be Page of sequence 1, but is 0x0");
        assert_eq!(message(|s| s.set_sizes[1] = 0), "the set's size of sequence 1 must be -1, but is 0");
        let entry = "entry 1 of the positions of sequence 0 must be 5, but is 6";
        assert_eq!(message(|s| s.set[1] = 6), entry);
        let entry = "entry 0 of the slots of sequence 0 must be 7, but is -1";
        assert_eq!(message(|s| s.physical.as_mut().unwrap()[0] = -1), entry);
        for (item, change) in
            [(2, (|s| s.set[2] = 8) as fn(&mut Selected)), (3, |s| s.set[3] = 8), (6, |s| s.set[6] = 8)]
        {
            let written = format!("item {item} of the positions belongs to no set, but was written: 8");
            assert_eq!(message(change), written);
        }
        let written = "item 2 of the slots belongs to no set, but was written: 8";
        assert_eq!(message(|s| s.physical.as_mut().unwrap()[2] = 8), written);
    }
}
