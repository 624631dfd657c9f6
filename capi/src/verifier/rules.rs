//! How verification sets are chosen.

use dustin::{InvalidInput, profile::LayerHeads, verifier::Rules};

use super::OPERATION;
use crate::{
    memory::{Item, slice},
    versioned::{self, versioned},
    words::{FALLBACKS, or, require_reserved},
};

/// Query heads of one layer, numbered over the whole model. It is part of other structs and never grows.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_layer_heads {
    /// The heads, uint32, ascending.
    pub heads: *const u32,
    /// Heads.
    pub count: u32,
    /// The layer.
    pub layer: u32,
}

// SAFETY: an address and integers.
unsafe impl Item for dustin_layer_heads {}

/// How a verification set is chosen: heads, budgets and exceptions.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_rules {
    /// sizeof(dustin_rules).
    pub struct_size: u32,
    /// The budget k: confirmed tokens of a set, sinks and recent ones included; a multiple of the block.
    pub k: u32,
    /// The target's layers and heads whose mean attention is its map, ascending.
    pub target_heads: *const dustin_layer_heads,
    /// The draft's layers and heads, likewise; null if m is 0.
    pub draft_heads: *const dustin_layer_heads,
    /// Entries of `target_heads`.
    pub target_layers: u32,
    /// Entries of `draft_heads`.
    pub draft_layers: u32,
    /// The quota m: tokens from the draft's map first; m = k means that it decides alone.
    pub m: u32,
    /// First tokens that are always read.
    pub sinks: u32,
    /// Last confirmed tokens that are always read.
    pub recent: u32,
    /// Tokens that a score is averaged over first: odd; 0 for 1.
    pub pooling: u32,
    /// Tokens that are chosen together; 0 for 1.
    pub block: u32,
    /// Sequences of at most so many confirmed tokens have all of them read.
    pub everything: u32,
    /// What a sequence without a captured target query gets, a `dustin_fallback`.
    pub without_target: u32,
    /// Reserved: 0.
    pub reserved: u32,
}

versioned!(dustin_rules { struct_size k target_heads draft_heads target_layers draft_layers } {
    m sinks recent pooling block everything without_target reserved
});

impl dustin_rules {
    /// The rules at `pointer`.
    ///
    /// # Safety
    /// `pointer` is null or a struct of the size that its first field says, whose lists have as many items as they say.
    pub(super) unsafe fn read(pointer: *const Self) -> Result<Rules, InvalidInput> {
        // SAFETY: the caller's promise.
        let own = unsafe { versioned::read(OPERATION, "rules", pointer)? };
        require_reserved(OPERATION, &[("rules.reserved", own.reserved)])?;
        // SAFETY: as above.
        let (target_heads, draft_heads) = unsafe {
            (
                heads("target_heads", own.target_heads, own.target_layers)?,
                heads("draft_heads", own.draft_heads, own.draft_layers)?,
            )
        };
        Ok(Rules {
            target_heads,
            draft_heads,
            k: own.k,
            m: own.m,
            sinks: own.sinks,
            recent: own.recent,
            pooling: or(own.pooling, 1),
            block: or(own.block, 1),
            everything: own.everything,
            without_target: FALLBACKS.read(OPERATION, "without_target", own.without_target)?,
        })
    }
}

/// # Safety
/// As [`dustin_rules::read`].
unsafe fn heads(
    field: &'static str,
    pointer: *const dustin_layer_heads,
    count: u32,
) -> Result<Vec<LayerHeads>, InvalidInput> {
    // SAFETY: the caller's promise.
    let layers: &[dustin_layer_heads] = unsafe { slice(OPERATION, field, pointer.cast(), count.into())? };
    let of = |own: &dustin_layer_heads| {
        // SAFETY: as above.
        let heads: &[u32] = unsafe { slice(OPERATION, field, own.heads.cast(), own.count.into())? };
        Ok(LayerHeads { layer: own.layer, heads: heads.to_vec() })
    };
    layers.iter().map(of).collect()
}
