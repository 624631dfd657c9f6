//! The arrays of a selection problem.

use crate::{
    cuda::{error::CudaError, memory::DeviceBuffer, stream::Stream, workspace::Workspace},
    select::{
        arrays::{SelectArrays, SelectStrides},
        launch::SelectBuffers,
        problem::SelectProblem,
    },
};

/// Every byte of an output that nobody has written: as an i32 it is far below 0, and neither a position, nor a slot, nor a
/// size. That all bits are set would be [`EVERYTHING`](dustin_kernels::select::params::EVERYTHING).
const UNWRITTEN: u8 = 0x80;

/// What selection reads. The shapes are those of [`Params`](dustin_kernels::select::params::Params).
#[derive(Debug)]
pub struct DeviceSelectInput {
    /// The draft's importance map, if the problem has one.
    pub draft: Option<DeviceBuffer<f32>>,
    /// The target's importance map, if the problem has one.
    pub target: Option<DeviceBuffer<f32>>,
    /// First positions of the sequences' parts of the maps.
    pub map_starts: DeviceBuffer<i32>,
    /// Confirmed lengths.
    pub lengths: DeviceBuffer<i32>,
    /// The slots that the target's maps were scored from, if they are given.
    pub target_slots: Option<DeviceBuffer<i32>>,
    /// Physical page numbers, if the problem asks for slots.
    pub block_table: Option<DeviceBuffer<i32>>,
    /// Distances between rows.
    pub strides: SelectStrides,
}

/// What selection writes.
#[derive(Debug)]
pub struct DeviceSelectOutput {
    /// Positions of the sets.
    pub set: DeviceBuffer<i32>,
    /// Their physical slots, if the problem asks for them.
    pub physical: Option<DeviceBuffer<i32>>,
    /// Sizes of the sets.
    pub set_sizes: DeviceBuffer<i32>,
}

impl DeviceSelectInput {
    /// A copy of `arrays`. Waits for the stream.
    ///
    /// # Errors
    /// Arrays that do not fit the problem; [`CudaError::OutOfMemory`]; what the driver returns.
    pub fn upload(
        stream: &Stream,
        problem: &SelectProblem,
        arrays: &SelectArrays<'_>,
    ) -> Result<Self, CudaError> {
        arrays.validate(problem)?;
        let map = |items: Option<&[f32]>| items.map(|items| DeviceBuffer::of(stream, items)).transpose();
        let array = |items: Option<&[i32]>| items.map(|items| DeviceBuffer::of(stream, items)).transpose();
        Ok(Self {
            draft: map(arrays.draft)?,
            target: map(arrays.target)?,
            map_starts: DeviceBuffer::of(stream, arrays.map_starts)?,
            lengths: DeviceBuffer::of(stream, arrays.lengths)?,
            target_slots: array(arrays.target_slots)?,
            block_table: array(arrays.block_table)?,
            strides: arrays.strides,
        })
    }

    /// The buffers of a launch that reads this input.
    #[must_use]
    pub fn buffers(&self, output: &DeviceSelectOutput, workspace: &Workspace) -> SelectBuffers {
        let array = |array: &Option<DeviceBuffer<i32>>| array.as_ref().map_or(0, DeviceBuffer::address);
        SelectBuffers {
            draft: self.draft.as_ref().map_or(0, DeviceBuffer::address),
            target: self.target.as_ref().map_or(0, DeviceBuffer::address),
            map_starts: self.map_starts.address(),
            lengths: self.lengths.address(),
            target_slots: array(&self.target_slots),
            block_table: array(&self.block_table),
            set: output.set.address(),
            physical: array(&output.physical),
            set_sizes: output.set_sizes.address(),
            workspace: workspace.address(),
            workspace_bytes: workspace.bytes(),
            strides: self.strides,
        }
    }
}

impl DeviceSelectOutput {
    /// Memory for the sets of `problem`, filled in the stream's order with what is neither a position nor a size.
    ///
    /// # Errors
    /// The problem or the strides are invalid; [`CudaError::OutOfMemory`]; what the driver returns.
    pub fn allocate(
        stream: &Stream,
        problem: &SelectProblem,
        strides: &SelectStrides,
    ) -> Result<Self, CudaError> {
        problem.validate()?;
        strides.validate(problem)?;
        let array = |items: u64| {
            let mut array = DeviceBuffer::allocate(stream.context(), items as usize)?;
            array.fill(stream, UNWRITTEN)?;
            Ok::<_, CudaError>(array)
        };
        let sets = strides.set_extent(problem);
        Ok(Self {
            set: array(sets)?,
            physical: problem.table.map(|_| array(sets)).transpose()?,
            set_sizes: array(problem.batch.into())?,
        })
    }
}
