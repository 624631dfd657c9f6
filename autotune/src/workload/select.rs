//! Workloads of selection.

use std::fmt;

use dustin::select::problem::{Maps, SelectProblem};

/// Sets selected from maps of sequences of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectShape {
    /// Sequences.
    pub batch: u32,
    /// Confirmed tokens of each sequence.
    pub context: u32,
    /// Positions of one set.
    pub k: u32,
    /// How many of them come from the draft's map first; 0: there is no draft map.
    pub quota: u32,
}

impl SelectShape {
    pub(super) fn problem(&self) -> Result<SelectProblem, String> {
        let Self { batch, context, k, quota } = *self;
        let map = u64::from(batch) * u64::from(context);
        let map = u32::try_from(map).map_err(|_| {
            format!("its maps would have {map} positions; choose a smaller --batch or --context")
        })?;
        let maps = if quota > 0 { Maps::Both } else { Maps::Target };
        Ok(SelectProblem { quota, maps, ..SelectProblem::plain(batch, map, k) })
    }
}

impl fmt::Display for SelectShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, context, k, quota } = self;
        write!(f, "select batch {batch} x {context}, k {k}")?;
        if *quota > 0 { write!(f, ", {quota} from the draft's map") } else { write!(f, " from one map") }
    }
}
