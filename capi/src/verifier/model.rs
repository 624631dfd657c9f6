//! A model as this rank holds it.

use std::ffi::c_void;

use dustin::{
    InvalidInput,
    geometry::ModelShare,
    verifier::{Draft, DraftCache, Model},
};

use super::OPERATION;
use crate::{
    geometry::dustin_geometry,
    kv::dustin_paged_kv,
    versioned::{self, versioned},
    words::{DTYPES, Words, or, require_reserved},
};

/// What a draft model's cache holds.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dustin_draft_cache {
    /// All confirmed tokens.
    Complete = 0,
    /// No more than sinks and a window: there is no draft's map.
    Windowed = 1,
}

const CACHES: Words<DraftCache> = Words {
    name: "dustin_draft_cache",
    values: &[
        (dustin_draft_cache::Complete as u32, DraftCache::Complete),
        (dustin_draft_cache::Windowed as u32, DraftCache::Windowed),
    ],
};

/// A model as this rank holds it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_model {
    /// sizeof(dustin_model).
    pub struct_size: u32,
    /// Element type of queries, keys, values and outputs, a `dustin_dtype`.
    pub dtype: u32,
    /// The whole model's geometry.
    pub geometry: *const dustin_geometry,
    /// The caches of one layer, with the rank's KV heads; all layers' are alike.
    pub kv: dustin_paged_kv,
    /// Tensor-parallel ranks that share the model; 0 for 1.
    pub tp_size: u32,
    /// This rank's number.
    pub tp_rank: u32,
    /// The softmax scale, positive; 0 for 1 / sqrt(head_dim).
    pub scale: f32,
    /// Of a draft model, what its cache holds, a `dustin_draft_cache`.
    pub draft_cache: u32,
    /// Scales of cached items: reserved, null.
    pub key_scale: *const c_void,
    /// Likewise.
    pub value_scale: *const c_void,
}

versioned!(dustin_model { struct_size dtype geometry kv } {
    tp_size tp_rank scale draft_cache key_scale value_scale
});

impl dustin_model {
    /// # Safety
    /// The geometry is null or a struct of the size that its first field says.
    unsafe fn read(&self) -> Result<Model, InvalidInput> {
        crate::kv::require_no_scales(
            OPERATION,
            [("key_scale", self.key_scale), ("value_scale", self.value_scale)],
        )?;
        // SAFETY: the caller's promise.
        let geometry = unsafe { versioned::read(OPERATION, "geometry", self.geometry)? };
        let dtype = DTYPES.read(OPERATION, "dtype", self.dtype)?;
        let share = ModelShare::new(geometry.into(), or(self.tp_size, 1), self.tp_rank)?;
        let model = Model::new(share, self.kv.of(OPERATION, dtype)?, dtype);
        Ok(if self.scale == 0.0 { model } else { Model { scale: self.scale, ..model } })
    }

    /// The model at `pointer`, as a target.
    ///
    /// # Safety
    /// `pointer` is null or a struct of the size that its first field says, and so is its geometry.
    pub(super) unsafe fn target(pointer: *const Self) -> Result<Model, InvalidInput> {
        // SAFETY: the caller's promise.
        let model = unsafe { versioned::read(OPERATION, "target", pointer)? };
        require_reserved(OPERATION, &[("target.draft_cache", model.draft_cache)])?;
        // SAFETY: as above.
        unsafe { model.read() }
    }

    /// The model at `pointer`, as a draft; nothing if it is null.
    ///
    /// # Safety
    /// As [`target`](Self::target).
    pub(super) unsafe fn draft(pointer: *const Self) -> Result<Option<Draft>, InvalidInput> {
        if pointer.is_null() {
            return Ok(None);
        }
        // SAFETY: the caller's promise.
        let model = unsafe { versioned::read(OPERATION, "draft", pointer)? };
        let cache = CACHES.read(OPERATION, "draft_cache", model.draft_cache)?;
        // SAFETY: as above.
        Ok(Some(Draft { model: unsafe { model.read()? }, cache }))
    }
}
