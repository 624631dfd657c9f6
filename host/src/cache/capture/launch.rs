//! From a problem and a variant to a launch: grid, workspace and parameters. Pure, so that the GPU and the executor are launched
//! alike.

use dustin_kernels::{
    cache::params::{CaptureParams, HEAD_WORDS},
    registry::{CAPTURE, CaptureVariant},
    simt::Global,
};

use super::{
    OPERATION,
    arrays::{CaptureStrides, require_places},
    problem::{CaptureProblem, require_total_rows},
};
use crate::{
    cache::launch::{WORKSPACE_ALIGNMENT, WorkspaceLayout, blocks, least},
    error::{InvalidInput, require_address},
    limits::DeviceLimits,
};

/// A validated launch of one variant for one problem.
#[derive(Clone, Debug)]
pub struct CapturePlan {
    problem: CaptureProblem,
    variant: &'static CaptureVariant,
    workspace: WorkspaceLayout,
}

/// The addresses of a launch's arrays, and the token it writes. The shapes are those of [`CaptureParams`].
#[derive(Clone, Copy, Debug)]
pub struct CaptureBuffers {
    /// Queries of the rows, 16-bit items; aligned to 16 bytes.
    pub query: u64,
    /// First rows, i32.
    pub row_starts: u64,
    /// The row to capture of each sequence, i32; 0: the last one.
    pub rows: u64,
    /// The slot of each sequence, i32; 0: every sequence has the slot of its own number.
    pub slots: u64,
    /// The whole buffer of captured queries, 16-bit items; aligned to 16 bytes.
    pub captured: u64,
    /// The token of the slots that is written.
    pub token: u32,
    /// The workspace; aligned to [`WORKSPACE_ALIGNMENT`].
    pub workspace: u64,
    /// Bytes of the workspace.
    pub workspace_bytes: u64,
    /// Distances between head vectors.
    pub strides: CaptureStrides,
}

/// The variant that is launched without tuning.
///
/// # Errors
/// None runs on the device.
pub fn default_variant(limits: &DeviceLimits) -> Result<&'static CaptureVariant, InvalidInput> {
    least(OPERATION, CAPTURE, CaptureVariant::entry, |variant| variant.warps, limits)
}

impl CapturePlan {
    /// Plans the launch of `variant` for `problem`.
    ///
    /// # Errors
    /// The problem is invalid.
    pub fn new(problem: &CaptureProblem, variant: &'static CaptureVariant) -> Result<Self, InvalidInput> {
        problem.validate()?;
        Ok(Self { problem: problem.clone(), variant, workspace: WorkspaceLayout::NEW })
    }

    /// The problem served.
    #[must_use]
    pub const fn problem(&self) -> &CaptureProblem {
        &self.problem
    }

    /// The kernel launched.
    #[must_use]
    pub const fn variant(&self) -> &'static CaptureVariant {
        self.variant
    }

    /// Blocks: `[blocks, batch, 1]`.
    #[must_use]
    pub fn grid(&self) -> [u32; 3] {
        [blocks(self.problem.columns(), self.threads()), self.problem.batch, 1]
    }

    /// Threads in a block.
    #[must_use]
    pub const fn threads(&self) -> u32 {
        32 * self.variant.warps
    }

    /// The parts of the workspace.
    #[must_use]
    pub const fn workspace(&self) -> &WorkspaceLayout {
        &self.workspace
    }

    /// Bytes of workspace that a launch needs.
    #[must_use]
    pub const fn workspace_bytes(&self) -> u64 {
        self.workspace.bytes()
    }

    /// The kernel's parameters for a launch over `buffers`.
    ///
    /// # Errors
    /// An address is missing or misaligned, the workspace is too small, a stride is not as documented, slots have no such
    /// token, or there are fewer than sequences and none are named.
    pub fn params(&self, buffers: &CaptureBuffers) -> Result<CaptureParams, InvalidInput> {
        self.params_of_rows(buffers, self.problem.total_rows)
    }

    /// The same for a batch of `total_rows` rows in the place of the problem's: neither grid nor workspace depend on them, and prompts
    /// have other rows than steps.
    ///
    /// # Errors
    /// As [`params`](Self::params); `total_rows` is not as [`CaptureProblem::total_rows`] must be.
    pub fn params_of_rows(
        &self,
        buffers: &CaptureBuffers,
        total_rows: u32,
    ) -> Result<CaptureParams, InvalidInput> {
        let (problem, strides) = (&self.problem, &buffers.strides);
        require_total_rows(total_rows)?;
        strides.validate(problem)?;
        require_places(problem, buffers.token, buffers.slots != 0)?;
        for (field, address, alignment) in [
            ("query", buffers.query, 16),
            ("row_starts", buffers.row_starts, 4),
            ("captured", buffers.captured, 16),
            ("workspace", buffers.workspace, WORKSPACE_ALIGNMENT),
        ] {
            require_address(OPERATION, field, address, alignment)?;
        }
        for (field, address) in [("rows", buffers.rows), ("slots", buffers.slots)] {
            if address != 0 {
                require_address(OPERATION, field, address, 4)?;
            }
        }
        if buffers.workspace_bytes < self.workspace_bytes() {
            let required = format!("at least {}", self.workspace_bytes());
            return Err(InvalidInput::new(OPERATION, "workspace_bytes", required, buffers.workspace_bytes));
        }
        let captured = Global::<u16>::at(buffers.captured);
        Ok(CaptureParams {
            query: Global::at(buffers.query),
            query_row_stride: strides.query_row,
            query_head_stride: strides.query_head,
            row_starts: Global::at(buffers.row_starts),
            rows: Global::at(buffers.rows),
            slots: Global::at(buffers.slots),
            captured: Global::at(captured.item(u64::from(buffers.token) * strides.token)),
            slot_stride: strides.slot,
            captured_head_stride: strides.head,
            status: Global::at(buffers.workspace + self.workspace.status.start),
            head_list: head_list(&problem.heads),
            heads: problem.heads.len() as u32,
            slot_capacity: problem.slots,
            total_rows,
            word_shift: (problem.head_dim / 8).trailing_zeros(),
        })
    }
}

/// The heads as parameters hold them: at most 64, each below 2^16.
fn head_list(heads: &[u32]) -> [u64; HEAD_WORDS] {
    let mut list = [0; HEAD_WORDS];
    for (place, &head) in heads.iter().enumerate() {
        list[place / 4] |= u64::from(head) << (16 * (place % 4));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> CapturePlan {
        let problem = CaptureProblem {
            batch: 16,
            total_rows: 80,
            query_heads: 64,
            head_dim: 128,
            heads: vec![3, 9, 63, 1, 52],
            slots: 20,
            tokens: 4,
        };
        CapturePlan::new(&problem, &CAPTURE[0]).unwrap()
    }

    fn buffers() -> CaptureBuffers {
        CaptureBuffers {
            query: 0x1000,
            row_starts: 0x2000,
            rows: 0x3000,
            slots: 0x4000,
            captured: 0x5000,
            token: 3,
            workspace: 0x6000,
            workspace_bytes: 8,
            strides: CaptureStrides::dense(plan().problem()),
        }
    }

    #[test]
    fn there_is_a_thread_for_each_word_of_a_token() {
        let plan = plan();
        assert_eq!(plan.grid(), [(5 * 16_u32).div_ceil(plan.threads()), 16, 1]);
        let limits = DeviceLimits {
            major: 8,
            minor: 0,
            sm_count: 1,
            shared_bytes_per_block: 0,
            threads_per_block: 1024,
        };
        assert_eq!(default_variant(&limits).unwrap().id, CAPTURE[0].id);
        assert_eq!(default_variant(&DeviceLimits { major: 7, ..limits }).unwrap_err().field, "device");
    }

    #[test]
    fn parameters_are_the_heads_the_token_and_the_addresses() {
        let params = plan().params(&buffers()).unwrap();
        assert_eq!(params.captured.address(), 0x5000 + 3 * 5 * 128 * 2);
        assert_eq!((params.heads, params.word_shift, params.slot_capacity), (5, 4, 20));
        assert_eq!(params.head_list[..2], [3 | 9 << 16 | 63 << 32 | 1 << 48, 52]);
        let without = CaptureBuffers { rows: 0, slots: 0, ..buffers() };
        let params = plan().params(&without).unwrap();
        assert!(params.rows.is_null() && params.slots.is_null());
    }

    #[test]
    fn bad_addresses_and_strides_are_refused_by_field() {
        let field = |change: fn(&mut CaptureBuffers)| {
            let mut buffers = buffers();
            change(&mut buffers);
            plan().params(&buffers).unwrap_err().field
        };
        assert_eq!(field(|b| b.query = 0), "query");
        assert_eq!(field(|b| b.row_starts += 2), "row_starts");
        assert_eq!(field(|b| b.rows += 2), "rows");
        assert_eq!(field(|b| b.slots += 1), "slots");
        assert_eq!(field(|b| b.captured += 8), "captured");
        assert_eq!(field(|b| b.token = 4), "token");
        assert_eq!(field(|b| b.workspace += 8), "workspace");
        assert_eq!(field(|b| b.workspace_bytes = 7), "workspace_bytes");
        assert_eq!(field(|b| b.strides.query_head = 4), "strides.query_head");
        assert_eq!(field(|b| b.strides.token = 8), "strides.token");
        assert_eq!(plan().params_of_rows(&buffers(), 0).unwrap_err().field, "total_rows");
        assert_eq!(plan().params_of_rows(&buffers(), 1 << 20).unwrap().total_rows, 1 << 20);
    }
}
