//! What of an engine's memory stays where it is from step to step, and how much memory it needs.

use std::ffi::c_void;

use dustin::{
    InvalidInput,
    verifier::{EngineMemory, Sizes},
};

use super::OPERATION;
use crate::{
    kv::require_no_scales,
    memory::slice,
    versioned::{self, versioned},
    words::require_reserved,
};

/// The caches and captured queries of an engine, in the context's memory: 16-bit items, aligned to 16 bytes. The lists of addresses
/// lie in host memory, and are read by the call that makes the verifier.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_engine_memory {
    /// sizeof(dustin_engine_memory).
    pub struct_size: u32,
    /// The target's layers.
    pub target_layers: u32,
    /// The key cache of each of the target's layers.
    pub target_keys: *const *mut c_void,
    /// The value cache of each of the target's layers.
    pub target_values: *const *mut c_void,
    /// The target's captured queries, `[slots, 1, heads, head_dim]`, the heads as `dustin_verifier_captured` lists them; null where there
    /// are none.
    pub target_queries: *const c_void,
    /// The key cache of each of the draft's layers; null where its map is not read.
    pub draft_keys: *const *const c_void,
    /// The draft's captured queries, `[slots, gamma, heads, head_dim]`, likewise.
    pub draft_queries: *const c_void,
    /// The draft's layers; 0 where its map is not read.
    pub draft_layers: u32,
    /// Reserved: 0.
    pub reserved: u32,
    /// Scales of the target's cached keys: reserved, null.
    pub key_scales: *const c_void,
    /// Scales of the target's cached values: reserved, null.
    pub value_scales: *const c_void,
}

versioned!(dustin_engine_memory { struct_size target_layers target_keys target_values } {
    target_queries draft_keys draft_queries draft_layers reserved key_scales value_scales
});

impl dustin_engine_memory {
    /// The addresses at `pointer`.
    ///
    /// # Safety
    /// `pointer` is null or a struct of the size that its first field says, whose lists have as many items as it says.
    pub(super) unsafe fn read(pointer: *const Self) -> Result<EngineMemory, InvalidInput> {
        // SAFETY: the caller's promise.
        let own = unsafe { versioned::read(OPERATION, "memory", pointer)? };
        require_no_scales(OPERATION, [("key_scales", own.key_scales), ("value_scales", own.value_scales)])?;
        require_reserved(OPERATION, &[("memory.reserved", own.reserved)])?;
        // SAFETY: as above.
        unsafe {
            Ok(EngineMemory {
                target_keys: addresses("target_keys", own.target_keys.cast(), own.target_layers)?,
                target_values: addresses("target_values", own.target_values.cast(), own.target_layers)?,
                target_queries: address(own.target_queries),
                draft_keys: addresses("draft_keys", own.draft_keys.cast(), own.draft_layers)?,
                draft_queries: address(own.draft_queries),
            })
        }
    }
}

/// # Safety
/// So many addresses may be read at `list`.
unsafe fn addresses(field: &'static str, list: *const c_void, count: u32) -> Result<Vec<u64>, InvalidInput> {
    // SAFETY: the caller's promise.
    let list: &[*const c_void] = unsafe { slice(OPERATION, field, list, count.into())? };
    Ok(list.iter().copied().map(address).collect())
}

/// An address that becomes a pointer again, where it is one of host memory.
fn address(pointer: *const c_void) -> u64 {
    pointer.expose_provenance() as u64
}

/// Items of the arrays that an engine brings beside its caches, lengths and block tables; 0 where an array is not needed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct dustin_verifier_sizes {
    /// sizeof(dustin_verifier_sizes), set by the caller.
    pub struct_size: u32,
    /// Pages of a sequence's block table in the target's caches.
    pub target_table_width: u32,
    /// Bytes of workspace, aligned to 256.
    pub workspace_bytes: u64,
    /// The target's map, float.
    pub target_map: u64,
    /// The draft's map, float.
    pub draft_map: u64,
    /// Positions of the sets, int32 `[max_batch, k]`.
    pub set: u64,
    /// Slots of the sets, int32 `[max_batch, k]`.
    pub physical: u64,
    /// Sizes of the sets, int32 `[max_batch]`.
    pub set_sizes: u64,
    /// The target's captured queries, 16 bits.
    pub target_queries: u64,
    /// The draft's captured queries, 16 bits.
    pub draft_queries: u64,
    /// Accepted rows, int32 `[max_batch, gamma + 1]`; where the verifier accepts, paths, int32 `[max_batch, rows]`.
    pub accepted: u64,
    /// First query rows, and first positions of the maps' parts, int32 `[max_batch + 1]` each.
    pub starts: u64,
    /// Rows that each row sees, uint64 `[max_batch * rows]`.
    pub masks: u64,
    /// Pages of a sequence's block table in the draft's caches.
    pub draft_table_width: u32,
    /// Reserved: 0.
    pub reserved: u32,
    /// The target's scores, `[max_batch * rows, vocabulary]`; none where the engine accepts.
    pub target_scores: u64,
    /// The draft's scores.
    pub draft_scores: u64,
    /// Emitted tokens, int32 `[max_batch, rows]`.
    pub emitted: u64,
}

versioned!(dustin_verifier_sizes { struct_size target_table_width } {
    workspace_bytes target_map draft_map set physical set_sizes target_queries draft_queries accepted starts masks
    draft_table_width reserved target_scores draft_scores emitted
});

impl dustin_verifier_sizes {
    /// The sizes of arrays and workspace, and the widths of the target's and the draft's block tables.
    pub(super) fn new(sizes: Sizes, workspace_bytes: u64, widths: [u32; 2]) -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            target_table_width: widths[0],
            workspace_bytes,
            target_map: sizes.target_map,
            draft_map: sizes.draft_map,
            set: sizes.set,
            physical: sizes.physical,
            set_sizes: sizes.set_sizes,
            target_queries: sizes.target_queries,
            draft_queries: sizes.draft_queries,
            accepted: sizes.accepted,
            starts: sizes.starts,
            masks: sizes.masks,
            draft_table_width: widths[1],
            reserved: 0,
            target_scores: sizes.target_scores,
            draft_scores: sizes.draft_scores,
            emitted: sizes.emitted,
        }
    }
}
