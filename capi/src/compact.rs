//! Compaction: accepted rows moved up behind the confirmed tokens, in all layers.

use std::{ffi::c_void, ptr::null};

use dustin::{
    InvalidInput,
    cache::{
        compact::{
            arrays::CompactArrays,
            launch::{CompactBuffers, CompactPlan, default_variant},
            problem::CompactProblem,
        },
        launch::StepBuffers,
        step::{Step, StepArrays},
    },
    cpu::CpuBackend,
    cuda::{CompactKernel, ModuleCache, Stream},
    profile::Read,
    verifier::Served,
};

use crate::{
    context::{Cpu, dustin_context},
    error::Error,
    kind::{self, Kind},
    kv::dustin_paged_kv,
    memory::{layers, require_absent, slice},
    operation::{COPIES, Space, device, dustin_operation, word},
    status::dustin_status,
    versioned::versioned,
    words::{FLAGS, require_reserved, stride_or},
};

const OPERATION: &str = "compact";

/// The compaction of a step's accepted rows in every layer: row number i of a sequence's list goes to position length + i. For
/// trees: a chain's accepted rows are there already.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct dustin_compact_problem {
    /// sizeof(dustin_compact_problem).
    pub struct_size: u32,
    /// Sequences of the batch: 1 to 65535.
    pub batch: u32,
    /// The most rows of one sequence: 1 to 64.
    pub rows: u32,
    /// Rows of the whole batch: at most batch * rows.
    pub total_rows: u32,
    /// Pages of one sequence's block table.
    pub table_width: u32,
    /// Layers: at least 1.
    pub layers: u32,
    /// Rows that one sequence's list has room for: 1 to 64.
    pub accepted: u32,
    /// 1 if an array says how many entries each list has; 0 if a negative entry ends it.
    pub counted: u32,
    /// The caches of this rank, each layer's of the same shape and strides.
    pub kv: dustin_paged_kv,
}

versioned!(dustin_compact_problem { struct_size batch rows total_rows table_width layers accepted counted kv } {});

/// The arrays of a launch, in the context's memory. Strides count items; 0 stands for that of an array without gaps.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_compact_args {
    /// sizeof(dustin_compact_args).
    pub struct_size: u32,
    /// Reserved: 0.
    pub reserved: u32,
    /// Physical page numbers, int32 `[batch, table_width]`.
    pub block_table: *const c_void,
    /// Confirmed lengths before the step, int32 `[batch]`.
    pub lengths: *const c_void,
    /// First row of each sequence and, last, the number of rows, int32 `[batch + 1]`.
    pub row_starts: *const c_void,
    /// The addresses of all layers' key caches, `[layers]`, themselves in the context's memory; aligned to 16 bytes on a GPU.
    pub key_caches: *const c_void,
    /// The addresses of all layers' value caches, likewise.
    pub value_caches: *const c_void,
    /// Accepted rows of each sequence, int32 `[batch, accepted]`: numbers of its own rows, from 0, ascending.
    pub accepted: *const c_void,
    /// The workspace, readied by `dustin_operation_initialise`.
    pub workspace: *mut c_void,
    /// Bytes of the workspace.
    pub workspace_bytes: u64,
    /// Entries of each list, int32 `[batch]`; null unless the problem counts them.
    pub accepted_counts: *const c_void,
    /// From one sequence's block table to the next.
    pub table_stride: u64,
    /// From one sequence's list to the next.
    pub accepted_stride: u64,
}

versioned!(dustin_compact_args {
    struct_size reserved block_table lengths row_starts key_caches value_caches accepted workspace workspace_bytes
} { accepted_counts table_stride accepted_stride });

impl Kind for dustin_compact_problem {
    const OPERATION: &'static str = OPERATION;
    const HANDLE: &'static str = "compact operation";
    type Problem = CompactProblem;
    type Kernel = CompactKernel;
    // A CPU copies, whatever the problem.
    type Candidate = ();
    type Args = dustin_compact_args;

    unsafe fn read(&self) -> Result<CompactProblem, InvalidInput> {
        let Self { batch, rows, total_rows, table_width, layers, accepted, .. } = *self;
        let (kv, _) = self.kv.read(OPERATION)?;
        let problem = CompactProblem {
            step: Step { batch, rows, total_rows, kv, table_width },
            layers,
            accepted,
            counted: FLAGS.read(OPERATION, "counted", self.counted)?,
        };
        problem.validate()?;
        Ok(problem)
    }

    fn on_gpu(
        modules: &ModuleCache,
        _: Option<&Read>,
        problem: &CompactProblem,
    ) -> Result<(CompactKernel, Served, Space), Error> {
        let plan = CompactPlan::new(problem, default_variant(&modules.device().limits())?)?;
        let (space, served) = (Space::of(&plan), Served::copies(plan.variant().id));
        Ok((CompactKernel::new(modules, plan)?, served, space))
    }

    fn on_cpu(_: &Cpu, _: Option<&Read>, _: &CompactProblem) -> Result<((), Served), InvalidInput> {
        Ok(((), COPIES))
    }

    unsafe fn launch(
        kernel: &CompactKernel,
        stream: &Stream,
        problem: &CompactProblem,
        args: &dustin_compact_args,
    ) -> Result<(), Error> {
        require_reserved(OPERATION, &[("reserved", args.reserved)])?;
        // SAFETY: the caller's promise.
        unsafe { kernel.launch(stream, &args.buffers(problem)) }.map_err(Error::from)
    }

    unsafe fn run(
        (): &(),
        backend: &mut CpuBackend,
        problem: &CompactProblem,
        args: &dustin_compact_args,
    ) -> Result<(), Error> {
        require_reserved(OPERATION, &[("reserved", args.reserved)])?;
        // SAFETY: the caller's promise.
        unsafe { args.run(backend, problem) }
    }
}

/// Plans compaction, and on a GPU compiles it. No profile has a choice for it.
///
/// # Safety
/// `problem` is null or a struct of the size that its first field says; `operation` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_compact_create(
    context: *const dustin_context,
    problem: *const dustin_compact_problem,
    operation: *mut *mut dustin_operation,
) -> dustin_status {
    // SAFETY: the caller's promise.
    unsafe { kind::create(context, null(), problem, operation) }
}

/// Launches compaction. On a GPU it allocates nothing, does not wait, and can be captured into a graph; `stream` is a `CUstream`,
/// null for the legacy default one. On a CPU `stream` is null.
///
/// # Safety
/// Until the launch has ended, all arrays and caches exist with the shapes that problem and arguments say, no two caches overlap, nobody
/// writes the arrays, nobody else touches the places of the rows and the workspace, and no two rows have the same place; the
/// operation or its context is kept. What arrays contain is checked. `args` is null or a struct of the size that its first field
/// says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_compact_launch(
    operation: *const dustin_operation,
    args: *const dustin_compact_args,
    stream: *mut c_void,
) -> dustin_status {
    // SAFETY: the caller's promise.
    unsafe { kind::launch::<dustin_compact_problem>(operation, args, stream) }
}

impl dustin_compact_args {
    fn buffers(&self, problem: &CompactProblem) -> CompactBuffers {
        CompactBuffers {
            step: StepBuffers {
                block_table: device(self.block_table),
                table_stride: stride_or(self.table_stride, problem.step.table_width.into()),
                lengths: device(self.lengths),
                row_starts: device(self.row_starts),
                workspace: device(self.workspace),
                workspace_bytes: self.workspace_bytes,
            },
            key_caches: device(self.key_caches),
            value_caches: device(self.value_caches),
            accepted: device(self.accepted),
            accepted_stride: stride_or(self.accepted_stride, problem.accepted.into()),
            accepted_counts: device(self.accepted_counts),
        }
    }

    /// # Safety
    /// As [`dustin_compact_launch`].
    unsafe fn run(&self, backend: &mut CpuBackend, problem: &CompactProblem) -> Result<(), Error> {
        let CompactProblem { step, accepted, counted, .. } = problem;
        require_absent(OPERATION, "accepted_counts", self.accepted_counts, *counted)?;
        let batch = u64::from(step.batch);
        let table_stride = stride_or(self.table_stride, step.table_width.into());
        let accepted_stride = stride_or(self.accepted_stride, (*accepted).into());
        let lists = (batch - 1).saturating_mul(accepted_stride).saturating_add((*accepted).into());
        // SAFETY: the caller's promise, here and below.
        let arrays = unsafe {
            CompactArrays {
                step: StepArrays {
                    block_table: slice(
                        OPERATION,
                        "block_table",
                        self.block_table,
                        step.table_extent(table_stride),
                    )?,
                    table_stride,
                    lengths: slice(OPERATION, "lengths", self.lengths, batch)?,
                    row_starts: slice(OPERATION, "row_starts", self.row_starts, batch + 1)?,
                },
                accepted: slice(OPERATION, "accepted", self.accepted, lists)?,
                accepted_stride,
                counts: if *counted {
                    Some(slice(OPERATION, "accepted_counts", self.accepted_counts, batch)?)
                } else {
                    None
                },
            }
        };
        // SAFETY: as above.
        let (mut layers, status) = unsafe {
            let count = problem.layers.into();
            let keys = slice(OPERATION, "key_caches", self.key_caches, count)?;
            let values = slice(OPERATION, "value_caches", self.value_caches, count)?;
            (
                layers(OPERATION, keys, values, &step.kv)?,
                word(OPERATION, self.workspace, self.workspace_bytes)?,
            )
        };
        *status = backend.compact(problem, &arrays, &mut layers)?.max(*status);
        Ok(())
    }
}
