//! Model geometry: presets and `config.json`.

use std::{ffi::c_char, path::Path};

use dustin::geometry::{Geometry, PRESETS, parse_config, preset, read_config};

use crate::{
    boundary::call,
    error::{Error, invalid},
    memory::slice,
    status::dustin_status,
    text,
    versioned::{self, versioned},
};

const OPERATION: &str = "model geometry";

/// The shape of a decoder-only model with grouped-query attention, of the whole model whatever the tensor parallelism.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct dustin_geometry {
    /// sizeof(dustin_geometry).
    pub struct_size: u32,
    /// Decoder layers.
    pub layers: u32,
    /// Query heads.
    pub query_heads: u32,
    /// KV heads.
    pub kv_heads: u32,
    /// Items of a head.
    pub head_dim: u32,
    /// Items of a token's hidden state.
    pub hidden: u32,
    /// Items between the two matrices of a layer's feed-forward network.
    pub intermediate: u32,
    /// Tokens of the vocabulary, padding included.
    pub vocabulary: u32,
}

versioned!(dustin_geometry { struct_size layers query_heads kv_heads head_dim } { hidden intermediate vocabulary });

impl From<Geometry> for dustin_geometry {
    fn from(geometry: Geometry) -> Self {
        let Geometry { layers, query_heads, kv_heads, head_dim, hidden, intermediate, vocabulary } = geometry;
        let struct_size = size_of::<Self>() as u32;
        Self { struct_size, layers, query_heads, kv_heads, head_dim, hidden, intermediate, vocabulary }
    }
}

impl From<dustin_geometry> for Geometry {
    fn from(geometry: dustin_geometry) -> Self {
        let dustin_geometry {
            layers, query_heads, kv_heads, head_dim, hidden, intermediate, vocabulary, ..
        } = geometry;
        Self { layers, query_heads, kv_heads, head_dim, hidden, intermediate, vocabulary }
    }
}

/// The geometry of a built-in model, by the name of its checkpoint, such as `Qwen2.5-72B`, in any case.
///
/// # Safety
/// `name` is null or a text that ends with NUL; `geometry` is null or a struct of the size that its first field says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_geometry_preset(
    name: *const c_char,
    geometry: *mut dustin_geometry,
) -> dustin_status {
    call(OPERATION, || {
        // SAFETY: the caller's promise.
        let name = unsafe { text::input(OPERATION, "name", name)? };
        let known = || PRESETS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let found = preset(name)
            .ok_or_else(|| invalid(OPERATION, "name", format!("one of {}", known()), format!("{name:?}")))?;
        // SAFETY: the caller's promise.
        unsafe { give(geometry, found) }
    })
}

/// The geometry that a model's `config.json` states, as Hugging Face's transformers writes it: of the families Qwen2, Qwen3, Llama
/// and Mistral. A model whose layers see no more than a sliding window that is shorter than its longest context is refused.
///
/// # Safety
/// `path` is null or a text that ends with NUL; `geometry` is null or a struct of the size that its first field says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_geometry_read_config(
    path: *const c_char,
    geometry: *mut dustin_geometry,
) -> dustin_status {
    call(OPERATION, || {
        // SAFETY: the caller's promise.
        let path = unsafe { text::input(OPERATION, "path", path)? };
        let found = read_config(Path::new(path))?;
        // SAFETY: the caller's promise.
        unsafe { give(geometry, found) }
    })
}

/// As `dustin_geometry_read_config`, from the `length` bytes of the file's text.
///
/// # Safety
/// `length` bytes at `config` may be read; `geometry` is null or a struct of the size that its first field says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_geometry_parse_config(
    config: *const c_char,
    length: usize,
    geometry: *mut dustin_geometry,
) -> dustin_status {
    call(OPERATION, || {
        // SAFETY: the caller's promise.
        let bytes: &[u8] = unsafe { slice(OPERATION, "config", config.cast(), length as u64)? };
        let found = parse_config(bytes)?;
        // SAFETY: the caller's promise.
        unsafe { give(geometry, found) }
    })
}

/// # Safety
/// `geometry` is null or a struct of the size that its first field says.
unsafe fn give(geometry: *mut dustin_geometry, found: Geometry) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    unsafe { versioned::write(OPERATION, "geometry", geometry, &found.into()) }.map_err(Error::from)
}
