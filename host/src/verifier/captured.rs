//! Where captured queries lie.

use crate::error::InvalidInput;
use crate::{
    cache::capture::arrays::CaptureStrides,
    geometry::ModelShare,
    profile::LayerHeads,
    score::{arrays::ScoreStrides, problem::Source},
    verifier::rules::mean,
};

/// The captured queries of one model on this rank: `[slots, tokens, heads, head_dim]` items of 16 bits without gaps, the heads of
/// all layers side by side.
///
/// Of the target one token is captured: the last confirmed one, whose row was computed by the step before or by the prompt. Of
/// the draft γ tokens are, those that it proposed the step's rows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Slots.
    pub slots: u32,
    /// Captured tokens of a slot.
    pub tokens: u32,
    /// Items in a head.
    pub head_dim: u32,
    /// The layers whose heads are captured on this rank, ascending; none where other ranks have all of them.
    pub layers: Vec<CapturedLayer>,
}

/// The captured heads of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedLayer {
    /// The layer.
    pub layer: u32,
    /// Its heads, by this rank's numbers, ascending.
    pub heads: Vec<u32>,
    /// Where they begin among the captured heads of all layers.
    pub first: u32,
}

impl Captured {
    /// What of `heads` this rank captures, and the sources of its share of their map.
    ///
    /// # Errors
    /// A head that the model does not have.
    pub(super) fn new(
        heads: &[LayerHeads],
        share: &ModelShare,
        slots: u32,
        tokens: u32,
    ) -> Result<(Self, Vec<Source>), InvalidInput> {
        let (mut layers, mut sources, mut first) = (Vec::new(), Vec::new(), 0);
        for (layer, source) in mean(heads, tokens) {
            for own in Source::local(&[source], share)? {
                let heads: Vec<u32> = own.heads.iter().map(|captured| captured.head).collect();
                let count = heads.len() as u32;
                layers.push(CapturedLayer { layer, heads, first });
                first += count;
                sources.push(own);
            }
        }
        Ok((Self { slots, tokens, head_dim: share.geometry().head_dim, layers }, sources))
    }

    /// The place of `layer` among the layers; nothing where none of its heads are captured on this rank.
    #[must_use]
    pub fn place(&self, layer: u32) -> Option<usize> {
        self.layers.iter().position(|own| own.layer == layer)
    }

    /// Captured heads of all layers.
    #[must_use]
    pub fn heads(&self) -> u32 {
        self.layers.iter().map(|layer| layer.heads.len() as u32).sum()
    }

    /// Items from one token to the next.
    #[must_use]
    pub fn token_stride(&self) -> u64 {
        u64::from(self.heads()) * u64::from(self.head_dim)
    }

    /// Items from one slot to the next.
    #[must_use]
    pub fn slot_stride(&self) -> u64 {
        u64::from(self.tokens) * self.token_stride()
    }

    /// Items in all.
    #[must_use]
    pub fn items(&self) -> u64 {
        u64::from(self.slots) * self.slot_stride()
    }

    /// Items from the start of the array to the first slot's and token's first head of `layer`.
    #[must_use]
    pub fn offset(&self, layer: &CapturedLayer) -> u64 {
        u64::from(layer.first) * u64::from(self.head_dim)
    }

    /// The strides of capturing from queries whose rows and heads lie so many items apart.
    pub(crate) fn capture_strides(&self, query_row: u64, query_head: u64) -> CaptureStrides {
        CaptureStrides {
            query_row,
            query_head,
            slot: self.slot_stride(),
            token: self.token_stride(),
            head: self.head_dim.into(),
        }
    }

    /// The strides of scoring, with block tables that lie `table` items apart.
    pub(crate) fn strides(&self, table: u64) -> ScoreStrides {
        ScoreStrides {
            query_slot: self.slot_stride(),
            query_token: self.token_stride(),
            query_head: self.head_dim.into(),
            table,
        }
    }
}
