//! The arrays of an attention problem.

use super::ALL_ONES;
use crate::{
    attention::{
        arrays::{AttentionArrays, AttentionStrides, LogBase, OutputType},
        launch::AttentionBuffers,
        problem::{AttentionProblem, Mask},
    },
    cuda::{
        error::CudaError,
        memory::{DeviceBuffer, DeviceItem},
        stream::Stream,
        workspace::Workspace,
    },
};

/// What attention reads. The shapes are those of [`Params`](dustin_kernels::attention::params::Params).
#[derive(Debug)]
pub struct DeviceInput {
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
    /// Entries of the sets, where the problem has any.
    pub set: Option<DeviceBuffer<i32>>,
    /// Sizes of the sets, where the problem has any.
    pub set_sizes: Option<DeviceBuffer<i32>>,
    /// Rows that each row sees, where the problem's mask is a tree.
    pub masks: Option<DeviceBuffer<u64>>,
    /// The softmax scale.
    pub scale: f32,
    /// Distances between rows.
    pub strides: AttentionStrides,
}

/// What attention writes.
#[derive(Debug)]
pub struct DeviceOutput {
    /// The output's items.
    pub items: DeviceItems,
    /// Log-sum-exp, `[total_rows, query_heads]`, if the problem asks for it.
    pub lse: Option<DeviceBuffer<f32>>,
    /// The base of the log-sum-exp.
    pub lse_base: LogBase,
}

/// An output's items, strided as the launch is told.
#[derive(Debug)]
pub enum DeviceItems {
    /// 16-bit items of the problem's element type.
    Rounded(DeviceBuffer<u16>),
    /// fp32 items.
    F32(DeviceBuffer<f32>),
}

impl DeviceInput {
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
        let (listed, tree) = (problem.sets().is_some(), problem.mask == Mask::Tree);
        Ok(Self {
            query: DeviceBuffer::of(stream, arrays.query)?,
            key: DeviceBuffer::of(stream, arrays.key)?,
            value: DeviceBuffer::of(stream, arrays.value)?,
            block_table: DeviceBuffer::of(stream, arrays.block_table)?,
            lengths: DeviceBuffer::of(stream, arrays.lengths)?,
            row_starts: DeviceBuffer::of(stream, arrays.row_starts)?,
            set: listed.then(|| DeviceBuffer::of(stream, arrays.set)).transpose()?,
            set_sizes: listed.then(|| DeviceBuffer::of(stream, arrays.set_sizes)).transpose()?,
            masks: tree.then(|| DeviceBuffer::of(stream, arrays.masks)).transpose()?,
            scale: arrays.scale,
            strides: arrays.strides,
        })
    }

    /// The buffers of a launch that reads this input, which nothing is known to leave [stable](AttentionBuffers::stable).
    #[must_use]
    pub fn buffers(&self, output: &DeviceOutput, workspace: &Workspace) -> AttentionBuffers {
        AttentionBuffers {
            query: self.query.address(),
            key: self.key.address(),
            value: self.value.address(),
            block_table: self.block_table.address(),
            lengths: self.lengths.address(),
            row_starts: self.row_starts.address(),
            set: address(self.set.as_ref()),
            set_sizes: address(self.set_sizes.as_ref()),
            masks: address(self.masks.as_ref()),
            output: output.items.address(),
            lse: address(output.lse.as_ref()),
            workspace: workspace.address(),
            workspace_bytes: workspace.bytes(),
            scale: self.scale,
            lse_base: output.lse_base,
            output_type: output.items.output_type(),
            strides: self.strides,
            stable: false,
        }
    }
}

/// The address of an array that a problem may lack; 0 if it does.
fn address<T: DeviceItem>(array: Option<&DeviceBuffer<T>>) -> u64 {
    array.map_or(0, DeviceBuffer::address)
}

impl DeviceOutput {
    /// Memory for the output of `problem`, and for its log-sum-exp if it asks for one, both filled with NaN.
    ///
    /// # Errors
    /// The problem or the strides are invalid; [`CudaError::OutOfMemory`]; what the driver returns.
    pub fn allocate(
        stream: &Stream,
        problem: &AttentionProblem,
        strides: &AttentionStrides,
        output_type: OutputType,
        lse_base: LogBase,
    ) -> Result<Self, CudaError> {
        problem.validate()?;
        strides.validate(problem)?;
        let context = stream.context();
        let len = strides.output_extent(problem) as usize;
        let items = match output_type {
            OutputType::Rounded => DeviceItems::Rounded(DeviceBuffer::allocate(context, len)?),
            OutputType::F32 => DeviceItems::F32(DeviceBuffer::allocate(context, len)?),
        };
        let columns = problem.total_rows as usize * problem.query_heads as usize;
        let lse = problem.lse.then(|| DeviceBuffer::allocate(context, columns)).transpose()?;
        let mut output = Self { items, lse, lse_base };
        output.poison(stream)?;
        Ok(output)
    }

    /// Fills output and log-sum-exp with NaN, in the stream's order, so that an item that is not written shows.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn poison(&mut self, stream: &Stream) -> Result<(), CudaError> {
        match &mut self.items {
            DeviceItems::Rounded(items) => items.fill(stream, ALL_ONES)?,
            DeviceItems::F32(items) => items.fill(stream, ALL_ONES)?,
        }
        self.lse.as_mut().map_or(Ok(()), |lse| lse.fill(stream, ALL_ONES))
    }
}

impl DeviceItems {
    /// The item type.
    #[must_use]
    pub fn output_type(&self) -> OutputType {
        match self {
            Self::Rounded(_) => OutputType::Rounded,
            Self::F32(_) => OutputType::F32,
        }
    }

    fn address(&self) -> u64 {
        match self {
            Self::Rounded(items) => items.address(),
            Self::F32(items) => items.address(),
        }
    }
}
