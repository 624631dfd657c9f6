//! The arrays that a caller brings.

use crate::{
    accept::{arrays::AcceptStrides, problem::AcceptProblem},
    verifier::stages::Stages,
};

/// Items of the arrays that a caller brings beside its caches, lengths and block tables. Where an array is not needed it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The target's map, f32.
    pub target_map: u64,
    /// The draft's map, f32.
    pub draft_map: u64,
    /// Positions of the sets, i32 `[max_batch, k]`.
    pub set: u64,
    /// Slots of the sets, i32 `[max_batch, k]`.
    pub physical: u64,
    /// Sizes of the sets, i32 `[max_batch]`.
    pub set_sizes: u64,
    /// The target's captured queries, 16 bits, laid out as [`Stages::target_captured`] says.
    pub target_queries: u64,
    /// The draft's captured queries, likewise.
    pub draft_queries: u64,
    /// Accepted rows, i32 `[max_batch, γ + 1]`; where the verifier accepts, paths, i32 `[max_batch, rows]`.
    pub accepted: u64,
    /// The target's scores, `[max_batch · rows, vocabulary]` of the item type of the problem; none where the engine accepts.
    pub target_scores: u64,
    /// The draft's scores, likewise as many rows as the problem says.
    pub draft_scores: u64,
    /// Emitted tokens, i32 `[max_batch, rows]`; none where the engine accepts.
    pub emitted: u64,
    /// First query rows, and first positions of the maps' parts, i32 `[max_batch + 1]` each.
    pub starts: u64,
    /// Rows that each row sees, u64 `[max_batch · rows]`.
    pub masks: u64,
}

impl Sizes {
    /// The sizes for `stages`.
    #[must_use]
    pub fn new(stages: &Stages) -> Self {
        let select = &stages.selection;
        let (batch, map) = (u64::from(select.batch), u64::from(select.map_capacity));
        let set = batch * u64::from(select.budget);
        let tree = stages.attention.mask == crate::attention::problem::Mask::Tree;
        let strides = stages.acceptance.as_ref().map(AcceptStrides::dense);
        let accepts = |items: fn(&AcceptStrides, &AcceptProblem) -> u64| {
            strides.as_ref().zip(stages.acceptance.as_ref()).map_or(0, |(strides, own)| items(strides, own))
        };
        Self {
            target_map: if stages.target_score.is_read() { map } else { 0 },
            draft_map: if stages.draft_score.is_read() { map } else { 0 },
            set,
            physical: if select.table.is_some() { set } else { 0 },
            set_sizes: batch,
            target_queries: stages.target_captured.items(),
            draft_queries: stages.draft_captured.items(),
            accepted: batch * u64::from(stages.compaction.accepted),
            target_scores: accepts(AcceptStrides::target_extent),
            draft_scores: accepts(AcceptStrides::draft_extent),
            emitted: accepts(AcceptStrides::emitted_extent),
            starts: batch + 1,
            masks: if tree { stages.attention.total_rows.into() } else { 0 },
        }
    }
}
