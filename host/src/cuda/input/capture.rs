//! The arrays of a capture.

use crate::{
    cache::capture::{
        arrays::{CaptureArrays, CaptureStrides},
        launch::CaptureBuffers,
        problem::CaptureProblem,
    },
    cuda::{error::CudaError, memory::DeviceBuffer, stream::Stream, workspace::Workspace},
};

/// What capturing reads.
#[derive(Debug)]
pub struct DeviceCaptureInput {
    /// Queries of the rows, 16-bit items.
    pub query: DeviceBuffer<u16>,
    /// First rows.
    pub row_starts: DeviceBuffer<i32>,
    /// The row to capture of each sequence, if it is given.
    pub rows: Option<DeviceBuffer<i32>>,
    /// The slot of each sequence, if it is given.
    pub slots: Option<DeviceBuffer<i32>>,
    /// The token of the slots that is written.
    pub token: u32,
    /// Distances between head vectors.
    pub strides: CaptureStrides,
}

impl DeviceCaptureInput {
    /// A copy of `arrays`. Waits for the stream.
    ///
    /// # Errors
    /// Arrays that do not fit the problem; [`CudaError::OutOfMemory`]; what the driver returns.
    pub fn upload(
        stream: &Stream,
        problem: &CaptureProblem,
        arrays: &CaptureArrays<'_>,
    ) -> Result<Self, CudaError> {
        arrays.validate(problem)?;
        let array = |items: Option<&[i32]>| items.map(|items| DeviceBuffer::of(stream, items)).transpose();
        Ok(Self {
            query: DeviceBuffer::of(stream, arrays.query)?,
            row_starts: DeviceBuffer::of(stream, arrays.row_starts)?,
            rows: array(arrays.rows)?,
            slots: array(arrays.slots)?,
            token: arrays.token,
            strides: arrays.strides,
        })
    }

    /// The buffers of a launch that captures in the buffer at `captured`.
    #[must_use]
    pub fn buffers(&self, captured: u64, workspace: &Workspace) -> CaptureBuffers {
        let array = |array: &Option<DeviceBuffer<i32>>| array.as_ref().map_or(0, DeviceBuffer::address);
        CaptureBuffers {
            query: self.query.address(),
            row_starts: self.row_starts.address(),
            rows: array(&self.rows),
            slots: array(&self.slots),
            captured,
            token: self.token,
            workspace: workspace.address(),
            workspace_bytes: workspace.bytes(),
            strides: self.strides,
        }
    }
}
