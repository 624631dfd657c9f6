//! What the draft's forwards leave of a batch, from which its queries are captured.

use super::world::{NAN, World};

/// The queries of one layer in one forward: a row for each sequence of a batch.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The layer.
    pub layer: u32,
    /// The forward.
    pub token: u32,
    /// Queries, `[max_batch, query_heads, head_dim]`: those of the world's captured ones, NaN for other heads and behind the last row.
    pub query: Vec<u16>,
}

impl World {
    /// The forwards of the layers that are captured, of sequences in these slots.
    pub(super) fn forwards(&self, slots: &[i32]) -> Vec<Forward> {
        let captured = &self.stages.draft_captured;
        let (dim, rows) = (captured.head_dim as usize, self.problem.limits.max_batch as usize);
        let heads = self.problem.draft.map_or(0, |draft| draft.model.share.local().query_heads as usize);
        let of = |own: &dustin::verifier::CapturedLayer, token: u32| {
            let mut query = vec![NAN; rows * heads * dim];
            for (row, &slot) in slots.iter().enumerate() {
                let first = slot as u64 * captured.slot_stride()
                    + u64::from(token) * captured.token_stride()
                    + captured.offset(own);
                for (place, &head) in own.heads.iter().enumerate() {
                    let (from, to) = (first as usize + place * dim, (row * heads + head as usize) * dim);
                    query[to..to + dim].copy_from_slice(&self.draft_queries[from..from + dim]);
                }
            }
            Forward { layer: own.layer, token, query }
        };
        (0..captured.tokens).flat_map(|token| captured.layers.iter().map(move |own| of(own, token))).collect()
    }
}
