//! The memory that a step's launches work in.

use dustin_kernels::fault::Fault;

use crate::{
    cuda::{
        error::CudaError,
        memory::DeviceBuffer,
        stream::Stream,
        workspace::{Plan, Workspace},
    },
    error::InvalidInput,
    verifier::{Stage, VerifierPlan, launch::Part},
};

/// The workspace of one plan's steps, in memory of its own or of the caller: a part for each stage. Steps that overlap in time
/// need one each; a step's stages may run on several streams.
#[derive(Debug)]
pub struct VerifierWorkspace {
    parts: Vec<(Stage, Workspace)>,
    // Keeps the memory, where it is not the caller's.
    _memory: Option<DeviceBuffer<u8>>,
}

/// A part of the workspace, as [`Workspace`] takes the plan of one stage.
impl Plan for Part {
    fn workspace_bytes(&self) -> u64 {
        self.bytes.end - self.bytes.start
    }

    fn zeroed_bytes(&self) -> u64 {
        self.zeroed_bytes
    }
}

impl VerifierWorkspace {
    /// A workspace in new memory, initialised in the stream's order.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`]; what the driver returns.
    pub fn allocate(stream: &Stream, plan: &VerifierPlan) -> Result<Self, CudaError> {
        let bytes = plan.workspace_bytes();
        let memory = DeviceBuffer::allocate(stream.context(), bytes as usize)?;
        // SAFETY: the result keeps the memory, and touches it in its parts alone.
        let mut workspace = unsafe { Self::borrow(plan, memory.address(), bytes)? };
        workspace._memory = Some(memory);
        workspace.initialise(stream)?;
        Ok(workspace)
    }

    /// A workspace in the `bytes` bytes at `address`. It has to be initialised before its first step, and again after something
    /// else has used the memory.
    ///
    /// # Safety
    /// The memory exists as long as the result, in the context of the streams that the result is used with, and nothing else
    /// touches it.
    ///
    /// # Errors
    /// Memory that is misaligned or too small for the plan.
    pub unsafe fn borrow(plan: &VerifierPlan, address: u64, bytes: u64) -> Result<Self, InvalidInput> {
        let layout = plan.workspace();
        layout.require(address, bytes)?;
        let part = |part: &Part| {
            // SAFETY: the caller's promise, for this part of the memory, which overlaps no other.
            let own = unsafe { Workspace::borrow(part, address + part.bytes.start, part.workspace_bytes())? };
            Ok((part.stage, own))
        };
        Ok(Self {
            parts: layout.parts().iter().map(part).collect::<Result<_, InvalidInput>>()?,
            _memory: None,
        })
    }

    /// Readies the memory for the plan's steps, and clears what stages have found, in the stream's order. Does not wait.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn initialise(&self, stream: &Stream) -> Result<(), CudaError> {
        self.parts.iter().try_for_each(|(_, part)| part.initialise(stream))
    }

    /// What stages have found wrong with the arrays that only the device can see, since that was cleared: for each stage that
    /// found something its highest fault and the sequence, as [`Workspace::status`] says. Waits for the stream.
    ///
    /// # Errors
    /// As [`Workspace::status`].
    pub fn status(&self, stream: &Stream) -> Result<Vec<(Stage, Fault, u32)>, CudaError> {
        let mut found = Vec::new();
        for (stage, part) in &self.parts {
            found.extend(part.status(stream)?.map(|(fault, sequence)| (*stage, fault, sequence)));
        }
        Ok(found)
    }

    /// Clears what stages have found, in the stream's order. Does not wait.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn clear_status(&self, stream: &Stream) -> Result<(), CudaError> {
        self.parts.iter().try_for_each(|(_, part)| part.clear_status(stream))
    }

    /// The device address and the bytes of a stage's part.
    pub(super) fn part(&self, stage: Stage) -> Result<(u64, u64), InvalidInput> {
        let part = self.parts.iter().find(|(known, _)| *known == stage);
        part.map(|(_, part)| (part.address(), part.bytes())).ok_or_else(|| {
            let actual = format!("of one without {stage}");
            InvalidInput::new("verifier workspace", "plan", "that of the verifier", actual)
        })
    }
}
