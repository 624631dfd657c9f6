//! The arrays of an acceptance.

use crate::{
    accept::{
        arrays::{AcceptArrays, AcceptStrides, ScoreItems},
        launch::AcceptBuffers,
        problem::AcceptProblem,
    },
    cuda::{error::CudaError, memory::DeviceBuffer, stream::Stream, workspace::Workspace},
};

/// Every byte of an output that nobody has written: as an i32 it is far below -1.
const UNWRITTEN: u8 = 0x80;

/// Scores in device memory.
#[derive(Debug)]
pub enum DeviceScores {
    /// f32.
    F32(DeviceBuffer<f32>),
    /// 16-bit items as their bits.
    Half(DeviceBuffer<u16>),
}

impl DeviceScores {
    fn of(stream: &Stream, items: ScoreItems<'_>) -> Result<Self, CudaError> {
        Ok(match items {
            ScoreItems::F32(items) => Self::F32(DeviceBuffer::of(stream, items)?),
            ScoreItems::Half(items) => Self::Half(DeviceBuffer::of(stream, items)?),
        })
    }

    /// The device address.
    #[must_use]
    pub fn address(&self) -> u64 {
        match self {
            Self::F32(items) => items.address(),
            Self::Half(items) => items.address(),
        }
    }
}

/// What acceptance reads, and the step's counter.
#[derive(Debug)]
pub struct DeviceAcceptInput {
    /// The target's scores.
    pub target: DeviceScores,
    /// The draft's, if the problem has them.
    pub draft: Option<DeviceScores>,
    /// Rows of the draft's scores, if the problem names them.
    pub draft_rows: Option<DeviceBuffer<i32>>,
    /// Tokens.
    pub tokens: DeviceBuffer<i32>,
    /// Parents, for trees.
    pub parents: Option<DeviceBuffer<i32>>,
    /// First rows.
    pub row_starts: DeviceBuffer<i32>,
    /// Temperatures.
    pub temperatures: DeviceBuffer<f32>,
    /// Seeds.
    pub seeds: DeviceBuffer<u64>,
    /// How many steps have been taken, one item: launches count on.
    pub step: DeviceBuffer<u64>,
    /// Confirmed lengths, if new ones are asked for.
    pub lengths: Option<DeviceBuffer<i32>>,
    /// Distances between rows.
    pub strides: AcceptStrides,
}

/// What acceptance writes.
#[derive(Debug)]
pub struct DeviceAcceptOutput {
    /// Accepted drafts.
    pub accepted: DeviceBuffer<i32>,
    /// Emitted tokens.
    pub emitted: DeviceBuffer<i32>,
    /// Paths.
    pub path: DeviceBuffer<i32>,
    /// Last rows of paths.
    pub last_rows: DeviceBuffer<i32>,
    /// New lengths, if asked for.
    pub new_lengths: Option<DeviceBuffer<i32>>,
}

impl DeviceAcceptInput {
    /// A copy of `arrays`. Waits for the stream.
    ///
    /// # Errors
    /// Arrays that do not fit the problem; [`CudaError::OutOfMemory`]; what the driver returns.
    pub fn upload(
        stream: &Stream,
        problem: &AcceptProblem,
        arrays: &AcceptArrays<'_>,
    ) -> Result<Self, CudaError> {
        arrays.validate(problem)?;
        let array = |items: Option<&[i32]>| items.map(|items| DeviceBuffer::of(stream, items)).transpose();
        Ok(Self {
            target: DeviceScores::of(stream, arrays.target)?,
            draft: arrays.draft.map(|items| DeviceScores::of(stream, items)).transpose()?,
            draft_rows: array(arrays.draft_rows)?,
            tokens: DeviceBuffer::of(stream, arrays.tokens)?,
            parents: array(arrays.parents)?,
            row_starts: DeviceBuffer::of(stream, arrays.row_starts)?,
            temperatures: DeviceBuffer::of(stream, arrays.temperatures)?,
            seeds: DeviceBuffer::of(stream, arrays.seeds)?,
            step: DeviceBuffer::of(stream, &[arrays.step])?,
            lengths: array(arrays.lengths)?,
            strides: arrays.strides,
        })
    }

    /// The buffers of launches that read this input.
    #[must_use]
    pub fn buffers(&self, output: &DeviceAcceptOutput, workspace: &Workspace) -> AcceptBuffers {
        let array = |array: &Option<DeviceBuffer<i32>>| array.as_ref().map_or(0, DeviceBuffer::address);
        AcceptBuffers {
            target: self.target.address(),
            draft: self.draft.as_ref().map_or(0, DeviceScores::address),
            draft_rows: array(&self.draft_rows),
            tokens: self.tokens.address(),
            parents: array(&self.parents),
            row_starts: self.row_starts.address(),
            temperatures: self.temperatures.address(),
            seeds: self.seeds.address(),
            step: self.step.address(),
            lengths: array(&self.lengths),
            accepted: output.accepted.address(),
            emitted: output.emitted.address(),
            path: output.path.address(),
            last_rows: output.last_rows.address(),
            new_lengths: array(&output.new_lengths),
            workspace: workspace.address(),
            workspace_bytes: workspace.bytes(),
            strides: self.strides,
        }
    }
}

impl DeviceAcceptOutput {
    /// Memory for the results of `problem`, filled in the stream's order with what is neither a row nor a token.
    ///
    /// # Errors
    /// The problem or the strides are invalid; [`CudaError::OutOfMemory`]; what the driver returns.
    pub fn allocate(
        stream: &Stream,
        problem: &AcceptProblem,
        strides: &AcceptStrides,
    ) -> Result<Self, CudaError> {
        problem.validate()?;
        strides.validate(problem)?;
        let array = |items: u64| {
            let mut array = DeviceBuffer::allocate(stream.context(), items as usize)?;
            array.fill(stream, UNWRITTEN)?;
            Ok::<_, CudaError>(array)
        };
        let batch = problem.batch.into();
        Ok(Self {
            accepted: array(batch)?,
            emitted: array(strides.emitted_extent(problem))?,
            path: array(strides.path_extent(problem))?,
            last_rows: array(batch)?,
            new_lengths: problem.new_lengths.then(|| array(batch)).transpose()?,
        })
    }
}
