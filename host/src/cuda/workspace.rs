//! The memory that launches work in.

use dustin_kernels::fault::Fault;

use super::{
    error::CudaError,
    memory::{DeviceBuffer, fill, read},
    stream::Stream,
};
use crate::{
    accept::launch::AcceptPlan,
    attention::launch::AttentionPlan,
    cache::{append::launch::AppendPlan, capture::launch::CapturePlan, compact::launch::CompactPlan},
    error::InvalidInput,
    limits::WORKSPACE_ALIGNMENT,
    score::launch::ScorePlan,
    select::launch::SelectPlan,
};

/// Bytes of the status word, which every workspace begins with.
const STATUS_BYTES: usize = size_of::<u64>();

/// A plan whose launches work in a workspace that begins with the status word.
pub trait Plan {
    /// Bytes of workspace that launches need.
    fn workspace_bytes(&self) -> u64;

    /// The bytes, from the workspace's start, that must be zero before the first launch.
    fn zeroed_bytes(&self) -> u64;
}

macro_rules! plans {
    ($($plan:ty)*) => {$(
        impl Plan for $plan {
            fn workspace_bytes(&self) -> u64 {
                self.workspace().bytes()
            }

            fn zeroed_bytes(&self) -> u64 {
                self.workspace().zeroed_bytes()
            }
        }
    )*};
}

plans!(AcceptPlan AttentionPlan AppendPlan CapturePlan CompactPlan ScorePlan SelectPlan);

/// The workspace of one plan's launches, in memory of its own or of the caller. Launches that share a workspace must
/// not overlap in time.
///
/// It holds the sticky status word: the highest fault of those that launches have found in the arrays that only the device
/// can see. Faulty items are treated as masked; the word stays until it is cleared.
#[derive(Debug)]
pub struct Workspace {
    address: u64,
    bytes: u64,
    zeroed_bytes: u64,
    // Keeps the memory, where it is not the caller's.
    _memory: Option<DeviceBuffer<u8>>,
}

impl Workspace {
    /// A workspace in new memory, initialised in the stream's order.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`]; what the driver returns.
    pub fn allocate(stream: &Stream, plan: &impl Plan) -> Result<Self, CudaError> {
        let memory = DeviceBuffer::allocate(stream.context(), plan.workspace_bytes() as usize)?;
        let (address, bytes, zeroed_bytes) = (memory.address(), plan.workspace_bytes(), plan.zeroed_bytes());
        let workspace = Self { address, bytes, zeroed_bytes, _memory: Some(memory) };
        workspace.initialise(stream)?;
        Ok(workspace)
    }

    /// A workspace in the `bytes` bytes at `address`. It has to be initialised before its first launch, and again
    /// after another plan has used the memory.
    ///
    /// # Safety
    /// The memory exists as long as the result, in the context of the streams that the result is used with, and
    /// nothing else touches it.
    ///
    /// # Errors
    /// Memory that is misaligned or too small for the plan.
    pub unsafe fn borrow(plan: &impl Plan, address: u64, bytes: u64) -> Result<Self, InvalidInput> {
        if address == 0 || !address.is_multiple_of(WORKSPACE_ALIGNMENT) {
            let required = format!("an address aligned to {WORKSPACE_ALIGNMENT} bytes");
            return Err(InvalidInput::new("workspace", "address", required, format!("{address:#x}")));
        }
        if bytes < plan.workspace_bytes() {
            let required = format!("at least {} for this plan", plan.workspace_bytes());
            return Err(InvalidInput::new("workspace", "bytes", required, bytes));
        }
        Ok(Self { address, bytes, zeroed_bytes: plan.zeroed_bytes(), _memory: None })
    }

    /// Readies the memory for the plan's launches, and clears the status word, in the stream's order. Does not wait.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn initialise(&self, stream: &Stream) -> Result<(), CudaError> {
        // SAFETY: the workspace holds at least these bytes.
        unsafe { fill(stream, self.address, 0, self.zeroed_bytes as usize) }
    }

    /// What launches have found wrong since the word was cleared, with the sequence: of several faults the one of
    /// the highest kind, and of the highest sequence. [`Fault::Length`] is also a negative length; of [`Fault::Layer`] the layer
    /// stands in the sequence's place. Waits for the stream.
    ///
    /// # Errors
    /// [`CudaError::StatusWord`] if the memory was not initialised, or something else has written it; what the driver
    /// returns, an earlier launch's fault included.
    pub fn status(&self, stream: &Stream) -> Result<Option<(Fault, u32)>, CudaError> {
        let mut word = [0u64];
        // SAFETY: the workspace holds the word.
        unsafe { read(stream, self.address, &mut word)? };
        parse_status(word[0])
    }

    /// Clears the status word in the stream's order. Does not wait.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn clear_status(&self, stream: &Stream) -> Result<(), CudaError> {
        // SAFETY: the workspace holds the word.
        unsafe { fill(stream, self.address, 0, STATUS_BYTES) }
    }

    /// The device address.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Bytes of the memory.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The fault of a status word and its sequence; nothing for 0.
fn parse_status(word: u64) -> Result<Option<(Fault, u32)>, CudaError> {
    match Fault::parse(word) {
        None if word != 0 => Err(CudaError::StatusWord { word }),
        fault => Ok(fault),
    }
}

#[cfg(test)]
mod tests {
    use dustin_kernels::registry::ATTENTION;

    use super::*;
    use crate::{
        attention::problem::{AttentionProblem, Confirmed, Mask, Sets},
        kv::{KvLayout, PagedKv},
    };

    #[test]
    fn a_status_word_that_no_launch_writes_is_an_error() {
        assert_eq!(parse_status(0), Ok(None));
        assert_eq!(parse_status(Fault::Page.word(3)), Ok(Some((Fault::Page, 3))));
        for word in [u64::MAX, 1, 99 << 32] {
            let error = parse_status(word).unwrap_err();
            assert_eq!(error, CudaError::StatusWord { word });
            assert!(error.to_string().contains("initialise the workspace"), "{error}");
        }
    }

    #[test]
    fn memory_of_the_caller_must_be_aligned_and_large_enough() {
        let variant = &ATTENTION[0];
        let problem = AttentionProblem {
            batch: 2,
            rows: 5,
            total_rows: 10,
            confirmed: Confirmed::Sets(Sets::of_positions(64)),
            query_heads: 8,
            kv: PagedKv::dense(KvLayout::Nhd, 16, 16, 2, variant.head_dim),
            table_width: 8,
            dtype: variant.dtype,
            mask: Mask::Causal,
            lse: false,
            batch_invariant: false,
        };
        let plan = AttentionPlan::new(&problem, variant, 2).unwrap();
        let bytes = plan.workspace_bytes();
        // SAFETY: nothing is launched with it.
        let borrow = |address, bytes| unsafe { Workspace::borrow(&plan, address, bytes) };
        assert_eq!(borrow(0, bytes).unwrap_err().field, "address");
        assert_eq!(borrow(WORKSPACE_ALIGNMENT + 128, bytes).unwrap_err().field, "address");
        assert_eq!(borrow(WORKSPACE_ALIGNMENT, bytes - 1).unwrap_err().field, "bytes");
        let workspace = borrow(WORKSPACE_ALIGNMENT, bytes + 8).unwrap();
        assert_eq!((workspace.address(), workspace.bytes()), (WORKSPACE_ALIGNMENT, bytes + 8));
    }
}
