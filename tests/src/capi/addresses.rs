//! Addresses of launches as structs of the C ABI, whether of host or of device memory.

use std::ffi::c_void;

use dustin::{
    attention::{
        arrays::{LogBase, OutputType},
        launch::AttentionBuffers,
    },
    cache::{append::launch::AppendBuffers, compact::launch::CompactBuffers},
    score::launch::{ScoreBuffers, SourceBuffers},
    select::launch::SelectBuffers,
};
use dustin_c::{
    dustin_append_args, dustin_attention_args, dustin_compact_args, dustin_log_base, dustin_output_type,
    dustin_score_args, dustin_score_layer, dustin_select_args,
};

use super::sized;

/// The address of an array of host memory.
#[must_use]
pub fn host<T>(items: &[T]) -> u64 {
    if items.is_empty() { 0 } else { items.as_ptr().expose_provenance() as u64 }
}

/// The address of an array of host memory that is written.
#[must_use]
pub fn host_mut<T>(items: &mut [T]) -> u64 {
    if items.is_empty() { 0 } else { items.as_mut_ptr().expose_provenance() as u64 }
}

/// An address as C has it.
#[must_use]
pub fn address(address: u64) -> *mut c_void {
    std::ptr::with_exposed_provenance_mut(address as usize)
}

/// The type of outputs.
#[must_use]
pub const fn output_type(output: OutputType) -> u32 {
    match output {
        OutputType::Rounded => dustin_output_type::Rounded as u32,
        OutputType::F32 => dustin_output_type::F32 as u32,
    }
}

/// The base of the log-sum-exp.
#[must_use]
pub const fn log_base(base: LogBase) -> u32 {
    match base {
        LogBase::E => dustin_log_base::E as u32,
        LogBase::Two => dustin_log_base::Two as u32,
    }
}

/// Arguments of attention.
#[must_use]
pub fn attention_args(buffers: &AttentionBuffers) -> dustin_attention_args {
    let strides = &buffers.strides;
    dustin_attention_args {
        struct_size: sized::<dustin_attention_args>(),
        scale: buffers.scale,
        query: address(buffers.query),
        key: address(buffers.key),
        value: address(buffers.value),
        block_table: address(buffers.block_table),
        lengths: address(buffers.lengths),
        row_starts: address(buffers.row_starts),
        output: address(buffers.output),
        workspace: address(buffers.workspace),
        workspace_bytes: buffers.workspace_bytes,
        set: address(buffers.set),
        set_sizes: address(buffers.set_sizes),
        masks: address(buffers.masks),
        lse: address(buffers.lse),
        key_scale: std::ptr::null(),
        value_scale: std::ptr::null(),
        query_row_stride: strides.query_row,
        query_head_stride: strides.query_head,
        output_row_stride: strides.output_row,
        output_head_stride: strides.output_head,
        table_stride: strides.table,
        set_stride: strides.set,
        set_head_stride: strides.set_head,
        output_type: output_type(buffers.output_type),
        lse_base: log_base(buffers.lse_base),
        stable: buffers.stable.into(),
        reserved: 0,
    }
}

/// The layers of a launch of scoring.
#[must_use]
pub fn score_layers(sources: &[SourceBuffers]) -> Vec<dustin_score_layer> {
    let layer = |own: &SourceBuffers| dustin_score_layer {
        query: address(own.query),
        key: address(own.key),
        key_scale: std::ptr::null(),
    };
    sources.iter().map(layer).collect()
}

/// Arguments of score gathering over `layers`.
#[must_use]
pub fn score_args(buffers: &ScoreBuffers<'_>, layers: &[dustin_score_layer]) -> dustin_score_args {
    dustin_score_args {
        struct_size: sized::<dustin_score_args>(),
        scale: buffers.scale,
        layers: layers.as_ptr(),
        block_table: address(buffers.block_table),
        lengths: address(buffers.lengths),
        map_starts: address(buffers.map_starts),
        map: address(buffers.map),
        workspace: address(buffers.workspace),
        workspace_bytes: buffers.workspace_bytes,
        slots: address(buffers.slots),
        query_slot_stride: buffers.strides.query_slot,
        query_token_stride: buffers.strides.query_token,
        query_head_stride: buffers.strides.query_head,
        table_stride: buffers.strides.table,
    }
}

/// Arguments of selection.
#[must_use]
pub fn select_args(buffers: &SelectBuffers) -> dustin_select_args {
    dustin_select_args {
        struct_size: sized::<dustin_select_args>(),
        reserved: 0,
        map_starts: address(buffers.map_starts),
        lengths: address(buffers.lengths),
        set: address(buffers.set),
        set_sizes: address(buffers.set_sizes),
        workspace: address(buffers.workspace),
        workspace_bytes: buffers.workspace_bytes,
        target: address(buffers.target),
        draft: address(buffers.draft),
        target_slots: address(buffers.target_slots),
        block_table: address(buffers.block_table),
        physical: address(buffers.physical),
        table_stride: buffers.strides.table,
        set_stride: buffers.strides.set,
    }
}

/// Arguments of appending.
#[must_use]
pub fn append_args(buffers: &AppendBuffers) -> dustin_append_args {
    let (step, strides) = (&buffers.step, &buffers.strides);
    dustin_append_args {
        struct_size: sized::<dustin_append_args>(),
        stable: buffers.stable.into(),
        block_table: address(step.block_table),
        lengths: address(step.lengths),
        row_starts: address(step.row_starts),
        key: address(buffers.key),
        value: address(buffers.value),
        key_cache: address(buffers.key_cache),
        value_cache: address(buffers.value_cache),
        workspace: address(step.workspace),
        workspace_bytes: step.workspace_bytes,
        query: address(buffers.query),
        query_copy: address(buffers.query_copy),
        key_scale: std::ptr::null(),
        value_scale: std::ptr::null(),
        table_stride: step.table_stride,
        key_row_stride: strides.key_row,
        key_head_stride: strides.key_head,
        value_row_stride: strides.value_row,
        value_head_stride: strides.value_head,
        query_row_stride: strides.query_row,
        query_head_stride: strides.query_head,
        query_copy_row_stride: strides.query_copy_row,
        query_copy_head_stride: strides.query_copy_head,
    }
}

/// Arguments of compaction.
#[must_use]
pub fn compact_args(buffers: &CompactBuffers) -> dustin_compact_args {
    let step = &buffers.step;
    dustin_compact_args {
        struct_size: sized::<dustin_compact_args>(),
        reserved: 0,
        block_table: address(step.block_table),
        lengths: address(step.lengths),
        row_starts: address(step.row_starts),
        key_caches: address(buffers.key_caches),
        value_caches: address(buffers.value_caches),
        accepted: address(buffers.accepted),
        workspace: address(step.workspace),
        workspace_bytes: step.workspace_bytes,
        accepted_counts: address(buffers.accepted_counts),
        table_stride: step.table_stride,
        accepted_stride: buffers.accepted_stride,
    }
}
