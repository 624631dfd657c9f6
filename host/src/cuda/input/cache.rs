//! The arrays of a step, and of what appending and compacting move.

use crate::{
    cache::{
        append::{
            arrays::{AppendArrays, AppendStrides},
            launch::AppendBuffers,
            problem::AppendProblem,
        },
        compact::{
            arrays::CompactArrays,
            launch::{CompactBuffers, require_layers},
            problem::CompactProblem,
        },
        launch::StepBuffers,
        layer::Layer,
        step::StepArrays,
    },
    cuda::{error::CudaError, memory::DeviceBuffer, stream::Stream, workspace::Workspace},
};

/// What a step's arrays say. The shapes are those of [`Step`](dustin_kernels::cache::params::Step).
#[derive(Debug)]
pub struct DeviceStep {
    /// Physical page numbers.
    pub block_table: DeviceBuffer<i32>,
    /// Items from one sequence's block table to the next.
    pub table_stride: u64,
    /// Confirmed lengths.
    pub lengths: DeviceBuffer<i32>,
    /// First rows.
    pub row_starts: DeviceBuffer<i32>,
}

/// One layer's caches, in an array of their own.
#[derive(Debug)]
pub struct DeviceLayer {
    /// Both caches; the key cache begins with the array.
    pub items: DeviceBuffer<u16>,
    /// Items from a key to its value.
    pub value: u64,
}

/// What appending reads.
#[derive(Debug)]
pub struct DeviceAppendInput {
    /// The step's arrays.
    pub step: DeviceStep,
    /// Keys of the rows, 16-bit items.
    pub key: DeviceBuffer<u16>,
    /// Values of the rows, 16-bit items.
    pub value: DeviceBuffer<u16>,
    /// Queries of the rows, 16-bit items, if the problem has query heads.
    pub query: Option<DeviceBuffer<u16>>,
    /// Distances between rows.
    pub strides: AppendStrides,
}

/// The addresses of what appending writes, 16-bit items.
#[derive(Clone, Copy, Debug)]
pub struct AppendTarget {
    /// The layer's key cache.
    pub key_cache: u64,
    /// The layer's value cache.
    pub value_cache: u64,
    /// Where attention reads the queries; 0 where the problem has no query heads.
    pub query_copy: u64,
}

impl DeviceStep {
    /// A copy of `arrays`, which must be valid. Waits for the stream.
    fn upload(stream: &Stream, arrays: &StepArrays<'_>) -> Result<Self, CudaError> {
        Ok(Self {
            block_table: DeviceBuffer::of(stream, arrays.block_table)?,
            table_stride: arrays.table_stride,
            lengths: DeviceBuffer::of(stream, arrays.lengths)?,
            row_starts: DeviceBuffer::of(stream, arrays.row_starts)?,
        })
    }

    /// The buffers of a launch that reads these arrays.
    #[must_use]
    pub fn buffers(&self, workspace: &Workspace) -> StepBuffers {
        StepBuffers {
            block_table: self.block_table.address(),
            table_stride: self.table_stride,
            lengths: self.lengths.address(),
            row_starts: self.row_starts.address(),
            workspace: workspace.address(),
            workspace_bytes: workspace.bytes(),
        }
    }
}

impl DeviceLayer {
    /// A copy of `layer`. Waits for the stream.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`]; what the driver returns.
    pub fn upload(stream: &Stream, layer: &Layer) -> Result<Self, CudaError> {
        Ok(Self { items: DeviceBuffer::of(stream, &layer.items)?, value: layer.value })
    }

    /// The address of the key cache.
    #[must_use]
    pub fn key_cache(&self) -> u64 {
        self.items.address()
    }

    /// The address of the value cache.
    #[must_use]
    pub fn value_cache(&self) -> u64 {
        self.items.address() + self.value * size_of::<u16>() as u64
    }
}

impl DeviceAppendInput {
    /// A copy of `arrays`. Waits for the stream.
    ///
    /// # Errors
    /// Arrays that do not fit the problem; [`CudaError::OutOfMemory`]; what the driver returns.
    pub fn upload(
        stream: &Stream,
        problem: &AppendProblem,
        arrays: &AppendArrays<'_>,
    ) -> Result<Self, CudaError> {
        arrays.validate(problem)?;
        let queries = (problem.query_heads > 0).then_some(arrays.query);
        Ok(Self {
            step: DeviceStep::upload(stream, &arrays.step)?,
            key: DeviceBuffer::of(stream, arrays.key)?,
            value: DeviceBuffer::of(stream, arrays.value)?,
            query: queries.map(|queries| DeviceBuffer::of(stream, queries)).transpose()?,
            strides: arrays.strides,
        })
    }

    /// The buffers of a launch that appends to `target`, which nothing is known to leave [stable](AppendBuffers::stable).
    #[must_use]
    pub fn buffers(&self, target: AppendTarget, workspace: &Workspace) -> AppendBuffers {
        AppendBuffers {
            step: self.step.buffers(workspace),
            key: self.key.address(),
            value: self.value.address(),
            key_cache: target.key_cache,
            value_cache: target.value_cache,
            query: self.query.as_ref().map_or(0, DeviceBuffer::address),
            query_copy: target.query_copy,
            strides: self.strides,
            stable: false,
        }
    }
}

/// What compacting reads.
#[derive(Debug)]
pub struct DeviceCompactInput {
    /// The step's arrays.
    pub step: DeviceStep,
    /// The accepted rows of each sequence.
    pub accepted: DeviceBuffer<i32>,
    /// Items from one sequence's list to the next.
    pub accepted_stride: u64,
    /// Entries of each list, if the problem counts them.
    pub counts: Option<DeviceBuffer<i32>>,
    /// The address of each layer's key cache.
    pub key_caches: DeviceBuffer<u64>,
    /// The address of each layer's value cache.
    pub value_caches: DeviceBuffer<u64>,
}

impl DeviceCompactInput {
    /// A copy of `arrays`, and of the addresses of each layer's caches. Waits for the stream.
    ///
    /// # Errors
    /// Arrays that do not fit the problem, or addresses that [`require_layers`] refuses; [`CudaError::OutOfMemory`]; what the
    /// driver returns.
    pub fn upload(
        stream: &Stream,
        problem: &CompactProblem,
        arrays: &CompactArrays<'_>,
        key_caches: &[u64],
        value_caches: &[u64],
    ) -> Result<Self, CudaError> {
        arrays.validate(problem)?;
        require_layers(problem, key_caches, value_caches)?;
        Ok(Self {
            step: DeviceStep::upload(stream, &arrays.step)?,
            accepted: DeviceBuffer::of(stream, arrays.accepted)?,
            accepted_stride: arrays.accepted_stride,
            counts: arrays.counts.map(|counts| DeviceBuffer::of(stream, counts)).transpose()?,
            key_caches: DeviceBuffer::of(stream, key_caches)?,
            value_caches: DeviceBuffer::of(stream, value_caches)?,
        })
    }

    /// The buffers of a launch.
    #[must_use]
    pub fn buffers(&self, workspace: &Workspace) -> CompactBuffers {
        CompactBuffers {
            step: self.step.buffers(workspace),
            key_caches: self.key_caches.address(),
            value_caches: self.value_caches.address(),
            accepted: self.accepted.address(),
            accepted_stride: self.accepted_stride,
            accepted_counts: self.counts.as_ref().map_or(0, DeviceBuffer::address),
        }
    }
}
