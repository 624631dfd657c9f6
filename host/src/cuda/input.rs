//! The arrays of an attention problem in device memory, for callers that do not bring their own.

use super::{
    error::CudaError,
    memory::{DeviceBuffer, DeviceItem},
    stream::Stream,
    workspace::Workspace,
};
use crate::{
    arrays::{AttentionArrays, AttentionStrides, LogBase, OutputType, decode},
    launch::AttentionBuffers,
    problem::AttentionProblem,
};

/// What attention reads. The shapes are those of [`Params`](dustin_kernels::attention::params::Params).
#[derive(Debug)]
pub struct AttentionInput {
    /// Queries, 16-bit items.
    pub query: DeviceBuffer<u16>,
    /// Key cache, 16-bit items.
    pub key: DeviceBuffer<u16>,
    /// Value cache, 16-bit items.
    pub value: DeviceBuffer<u16>,
    /// Physical page numbers.
    pub block_table: DeviceBuffer<i32>,
    /// Confirmed lengths.
    pub lengths: DeviceBuffer<i32>,
    /// First query rows.
    pub row_starts: DeviceBuffer<i32>,
    /// Positions of the sets.
    pub set: DeviceBuffer<i32>,
    /// Sizes of the sets.
    pub set_sizes: DeviceBuffer<i32>,
    /// The softmax scale.
    pub scale: f32,
    /// Distances between rows.
    pub strides: AttentionStrides,
}

/// What attention writes.
#[derive(Debug)]
pub struct AttentionOutput {
    problem: AttentionProblem,
    lse: Option<DeviceBuffer<f32>>,
    lse_base: LogBase,
    items: Items,
}

#[derive(Debug)]
enum Items {
    Rounded(DeviceBuffer<u16>),
    F32(DeviceBuffer<f32>),
}

impl AttentionInput {
    /// A copy of `arrays`. Waits for the stream.
    ///
    /// # Errors
    /// Arrays that do not fit the problem; [`CudaError::OutOfMemory`]; what the driver returns.
    pub fn upload(
        stream: &Stream,
        problem: &AttentionProblem,
        arrays: &AttentionArrays<'_>,
    ) -> Result<Self, CudaError> {
        arrays.validate(problem)?;
        Ok(Self {
            query: DeviceBuffer::of(stream, arrays.query)?,
            key: DeviceBuffer::of(stream, arrays.key)?,
            value: DeviceBuffer::of(stream, arrays.value)?,
            block_table: DeviceBuffer::of(stream, arrays.block_table)?,
            lengths: DeviceBuffer::of(stream, arrays.lengths)?,
            row_starts: DeviceBuffer::of(stream, arrays.row_starts)?,
            set: DeviceBuffer::of(stream, arrays.set)?,
            set_sizes: DeviceBuffer::of(stream, arrays.set_sizes)?,
            scale: arrays.scale,
            strides: arrays.strides,
        })
    }

    /// The buffers of a launch that reads this input.
    #[must_use]
    pub fn buffers(&self, output: &AttentionOutput, workspace: &Workspace) -> AttentionBuffers {
        AttentionBuffers {
            query: self.query.address(),
            key: self.key.address(),
            value: self.value.address(),
            block_table: self.block_table.address(),
            lengths: self.lengths.address(),
            row_starts: self.row_starts.address(),
            set: self.set.address(),
            set_sizes: self.set_sizes.address(),
            output: output.address(),
            lse: output.lse.as_ref().map_or(0, DeviceBuffer::address),
            workspace: workspace.address(),
            scale: self.scale,
            lse_base: output.lse_base,
            output_type: output.output_type(),
            strides: self.strides,
        }
    }
}

impl AttentionOutput {
    /// Memory for the output of `problem`, and for its log-sum-exp if it asks for one, both filled with NaN.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`]; what the driver returns.
    pub fn allocate(
        stream: &Stream,
        problem: &AttentionProblem,
        strides: &AttentionStrides,
        output_type: OutputType,
        lse_base: LogBase,
    ) -> Result<Self, CudaError> {
        let context = stream.context();
        let len = strides.output_extent(problem) as usize;
        let items = match output_type {
            OutputType::Rounded => Items::Rounded(DeviceBuffer::allocate(context, len)?),
            OutputType::F32 => Items::F32(DeviceBuffer::allocate(context, len)?),
        };
        let columns = problem.total_rows as usize * problem.query_heads as usize;
        let lse = problem.lse.then(|| DeviceBuffer::allocate(context, columns)).transpose()?;
        let mut output = Self { problem: *problem, lse, lse_base, items };
        output.poison(stream)?;
        Ok(output)
    }

    /// Fills output and log-sum-exp with NaN, in the stream's order, so that an item that is not written shows.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn poison(&mut self, stream: &Stream) -> Result<(), CudaError> {
        match &mut self.items {
            Items::Rounded(items) => poison(items, stream)?,
            Items::F32(items) => poison(items, stream)?,
        }
        self.lse.as_mut().map_or(Ok(()), |lse| poison(lse, stream))
    }

    /// The output's items, strided as the launch was told. Waits for the stream.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn download(&self, stream: &Stream) -> Result<Vec<f32>, CudaError> {
        match &self.items {
            Items::F32(items) => items.download(stream),
            Items::Rounded(items) => {
                let items = items.download(stream)?;
                Ok(items.into_iter().map(|bits| decode(self.problem.dtype, bits)).collect())
            }
        }
    }

    /// The log-sum-exp, `[total_rows, query_heads]`, if there is one. Waits for the stream.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn download_lse(&self, stream: &Stream) -> Result<Option<Vec<f32>>, CudaError> {
        self.lse.as_ref().map(|lse| lse.download(stream)).transpose()
    }

    fn address(&self) -> u64 {
        match &self.items {
            Items::Rounded(items) => items.address(),
            Items::F32(items) => items.address(),
        }
    }

    fn output_type(&self) -> OutputType {
        match self.items {
            Items::Rounded(_) => OutputType::Rounded,
            Items::F32(_) => OutputType::F32,
        }
    }
}

// All bits set is a NaN of every floating-point type.
fn poison<T: DeviceItem>(items: &mut DeviceBuffer<T>, stream: &Stream) -> Result<(), CudaError> {
    items.fill(stream, 0xff)
}
