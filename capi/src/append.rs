//! Appending: a step's own rows written to the caches of a layer.

use std::{ffi::c_void, ptr::null};

use dustin::{
    InvalidInput,
    cache::{
        append::{
            arrays::{AppendArrays, AppendStrides},
            launch::{AppendBuffers, AppendPlan, default_variant},
            problem::AppendProblem,
        },
        launch::StepBuffers,
        step::{Step, StepArrays},
    },
    cpu::CpuBackend,
    cuda::{AppendKernel, ModuleCache, Stream},
    profile::Read,
    verifier::Served,
};

use crate::{
    context::{Cpu, dustin_context},
    error::Error,
    kind::{self, Kind},
    kv::{dustin_paged_kv, require_no_scales},
    memory::{layer, require_absent, slice, slice_mut},
    operation::{COPIES, Space, device, dustin_operation, word},
    status::dustin_status,
    versioned::versioned,
    words::{FLAGS, stride_or},
};

const OPERATION: &str = "append";

/// The writing of a step's own rows in one layer: of each sequence the keys and values of its rows, to the positions behind its
/// confirmed tokens, and if asked their queries to where attention reads them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct dustin_append_problem {
    /// sizeof(dustin_append_problem).
    pub struct_size: u32,
    /// Sequences of the batch: 1 to 65535.
    pub batch: u32,
    /// The most rows of one sequence: 1 to 64.
    pub rows: u32,
    /// Rows of the whole batch: at most batch * rows.
    pub total_rows: u32,
    /// Pages of one sequence's block table.
    pub table_width: u32,
    /// Query heads of this rank whose queries are copied; 0 if none are.
    pub query_heads: u32,
    /// The caches of this rank. No two head vectors of theirs overlap.
    pub kv: dustin_paged_kv,
}

versioned!(dustin_append_problem { struct_size batch rows total_rows table_width query_heads kv } {});

/// The arrays of a launch, in the context's memory. Strides count items; 0 stands for that of an array without gaps.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_append_args {
    /// sizeof(dustin_append_args).
    pub struct_size: u32,
    /// 1 if what is launched right before on the stream leaves `lengths`, `row_starts` and `block_table` as they are, and does not
    /// clear the status, as in all layers of a step but the first: then launches may overlap. 0 where nobody knows. A CPU does
    /// not look at it.
    pub stable: u32,
    /// Physical page numbers, int32 `[batch, table_width]`.
    pub block_table: *const c_void,
    /// Confirmed lengths, int32 `[batch]`: the position of each sequence's first row.
    pub lengths: *const c_void,
    /// First row of each sequence and, last, the number of rows, int32 `[batch + 1]`.
    pub row_starts: *const c_void,
    /// Keys of the rows after rotary embedding, `[total_rows, kv_heads, head_dim]`; on a GPU aligned to 16 bytes, as are the others of 16-bit
    /// items.
    pub key: *const c_void,
    /// Values of the rows, likewise.
    pub value: *const c_void,
    /// The layer's key cache.
    pub key_cache: *mut c_void,
    /// The layer's value cache. On a CPU, where one array holds both, it begins behind the key cache.
    pub value_cache: *mut c_void,
    /// The workspace, readied by `dustin_operation_initialise`.
    pub workspace: *mut c_void,
    /// Bytes of the workspace.
    pub workspace_bytes: u64,
    /// Queries of the rows, `[total_rows, query_heads, head_dim]`; null unless the problem copies them.
    pub query: *const c_void,
    /// Where attention reads the queries, likewise.
    pub query_copy: *mut c_void,
    /// Scales of cached keys: reserved, null.
    pub key_scale: *const c_void,
    /// Scales of cached values: reserved, null.
    pub value_scale: *const c_void,
    /// From one sequence's block table to the next.
    pub table_stride: u64,
    /// From one row's keys to the next's; a multiple of 8, as are the following.
    pub key_row_stride: u64,
    /// From one KV head's keys to the next's.
    pub key_head_stride: u64,
    /// From one row's values to the next's.
    pub value_row_stride: u64,
    /// From one KV head's values to the next's.
    pub value_head_stride: u64,
    /// From one row's queries to the next's.
    pub query_row_stride: u64,
    /// From one query head to the next.
    pub query_head_stride: u64,
    /// From one row's copied queries to the next's.
    pub query_copy_row_stride: u64,
    /// From one query head of the copy to the next.
    pub query_copy_head_stride: u64,
}

versioned!(dustin_append_args {
    struct_size stable block_table lengths row_starts key value key_cache value_cache workspace workspace_bytes
} {
    query query_copy key_scale value_scale table_stride key_row_stride key_head_stride value_row_stride
    value_head_stride query_row_stride query_head_stride query_copy_row_stride query_copy_head_stride
});

impl Kind for dustin_append_problem {
    const OPERATION: &'static str = OPERATION;
    const HANDLE: &'static str = "append operation";
    type Problem = AppendProblem;
    type Kernel = AppendKernel;
    // A CPU copies, whatever the problem.
    type Candidate = ();
    type Args = dustin_append_args;

    unsafe fn read(&self) -> Result<AppendProblem, InvalidInput> {
        let Self { batch, rows, total_rows, table_width, query_heads, .. } = *self;
        let (kv, _) = self.kv.read(OPERATION)?;
        let problem = AppendProblem { step: Step { batch, rows, total_rows, kv, table_width }, query_heads };
        problem.validate()?;
        Ok(problem)
    }

    fn on_gpu(
        modules: &ModuleCache,
        _: Option<&Read>,
        problem: &AppendProblem,
    ) -> Result<(AppendKernel, Served, Space), Error> {
        let plan = AppendPlan::new(problem, default_variant(&modules.device().limits())?)?;
        let (space, served) = (Space::of(&plan), Served::copies(plan.variant().id));
        Ok((AppendKernel::new(modules, plan)?, served, space))
    }

    fn on_cpu(_: &Cpu, _: Option<&Read>, _: &AppendProblem) -> Result<((), Served), InvalidInput> {
        Ok(((), COPIES))
    }

    unsafe fn launch(
        kernel: &AppendKernel,
        stream: &Stream,
        problem: &AppendProblem,
        args: &dustin_append_args,
    ) -> Result<(), Error> {
        let settings = args.settings(problem)?;
        // SAFETY: the caller's promise.
        unsafe { kernel.launch(stream, &args.buffers(problem, settings)) }.map_err(Error::from)
    }

    unsafe fn run(
        (): &(),
        backend: &mut CpuBackend,
        problem: &AppendProblem,
        args: &dustin_append_args,
    ) -> Result<(), Error> {
        let (strides, _) = args.settings(problem)?;
        // SAFETY: the caller's promise.
        unsafe { args.run(backend, problem, strides) }
    }
}

/// Plans appending, and on a GPU compiles it. No profile has a choice for it.
///
/// # Safety
/// `problem` is null or a struct of the size that its first field says; `operation` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_append_create(
    context: *const dustin_context,
    problem: *const dustin_append_problem,
    operation: *mut *mut dustin_operation,
) -> dustin_status {
    // SAFETY: the caller's promise.
    unsafe { kind::create(context, null(), problem, operation) }
}

/// Launches appending. On a GPU it allocates nothing, does not wait, and can be captured into a graph; `stream` is a `CUstream`, null
/// for the legacy default one. On a CPU `stream` is null.
///
/// # Safety
/// Until the launch has ended, all arrays exist with the shapes that problem and arguments say, nobody writes them, nobody else
/// touches the places of the rows and the workspace, and no two rows have the same place; the operation or its context is kept.
/// What arrays contain is checked. `args` is null or a struct of the size that its first field says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_append_launch(
    operation: *const dustin_operation,
    args: *const dustin_append_args,
    stream: *mut c_void,
) -> dustin_status {
    // SAFETY: the caller's promise.
    unsafe { kind::launch::<dustin_append_problem>(operation, args, stream) }
}

impl dustin_append_args {
    /// What the arguments say besides addresses: strides, and whether launches may overlap.
    fn settings(&self, problem: &AppendProblem) -> Result<(AppendStrides, bool), InvalidInput> {
        require_no_scales(OPERATION, [("key_scale", self.key_scale), ("value_scale", self.value_scale)])?;
        let dense = AppendStrides::dense(problem);
        let strides = AppendStrides {
            key_row: stride_or(self.key_row_stride, dense.key_row),
            key_head: stride_or(self.key_head_stride, dense.key_head),
            value_row: stride_or(self.value_row_stride, dense.value_row),
            value_head: stride_or(self.value_head_stride, dense.value_head),
            query_row: stride_or(self.query_row_stride, dense.query_row),
            query_head: stride_or(self.query_head_stride, dense.query_head),
            query_copy_row: stride_or(self.query_copy_row_stride, dense.query_copy_row),
            query_copy_head: stride_or(self.query_copy_head_stride, dense.query_copy_head),
        };
        Ok((strides, FLAGS.read(OPERATION, "stable", self.stable)?))
    }

    fn buffers(&self, problem: &AppendProblem, (strides, stable): (AppendStrides, bool)) -> AppendBuffers {
        AppendBuffers {
            step: StepBuffers {
                block_table: device(self.block_table),
                table_stride: stride_or(self.table_stride, problem.step.table_width.into()),
                lengths: device(self.lengths),
                row_starts: device(self.row_starts),
                workspace: device(self.workspace),
                workspace_bytes: self.workspace_bytes,
            },
            key: device(self.key),
            value: device(self.value),
            key_cache: device(self.key_cache),
            value_cache: device(self.value_cache),
            query: device(self.query),
            query_copy: device(self.query_copy),
            strides,
            stable,
        }
    }

    /// # Safety
    /// As [`dustin_append_launch`].
    unsafe fn run(
        &self,
        backend: &mut CpuBackend,
        problem: &AppendProblem,
        strides: AppendStrides,
    ) -> Result<(), Error> {
        strides.validate(problem)?;
        let copied = problem.query_heads > 0;
        require_absent(OPERATION, "query", self.query, copied)?;
        require_absent(OPERATION, "query_copy", self.query_copy, copied)?;
        let step = &problem.step;
        let (batch, table_stride) =
            (u64::from(step.batch), stride_or(self.table_stride, step.table_width.into()));
        // SAFETY: the caller's promise, here and below.
        let arrays = unsafe {
            AppendArrays {
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
                key: slice(OPERATION, "key", self.key, strides.key_extent(problem))?,
                value: slice(OPERATION, "value", self.value, strides.value_extent(problem))?,
                query: slice(OPERATION, "query", self.query, strides.query_extent(problem))?,
                strides,
            }
        };
        // SAFETY: as above.
        let (mut layer, copy, status) = unsafe {
            let copy = strides.query_copy_extent(problem);
            (
                layer(OPERATION, self.key_cache, self.value_cache, &step.kv)?,
                slice_mut(OPERATION, "query_copy", self.query_copy, copy)?,
                word(OPERATION, self.workspace, self.workspace_bytes)?,
            )
        };
        *status = backend.append(problem, &arrays, &mut layer, copy)?.max(*status);
        Ok(())
    }
}
