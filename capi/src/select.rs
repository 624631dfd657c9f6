//! Selection: verification sets from importance maps.

use std::ffi::c_void;

use dustin::{
    InvalidInput,
    cpu::{CpuBackend, select::Candidate},
    cuda::{ModuleCache, SelectKernel, Stream},
    profile::{Choice, Read},
    select::{
        arrays::{SelectArrays, SelectOutput, SelectStrides},
        launch::{SelectBuffers, SelectPlan},
        problem::{SelectProblem, SlotTable},
    },
    verifier::Served,
};

use crate::{
    choice,
    context::{Cpu, dustin_context},
    error::Error,
    kind::{self, Kind},
    memory::{asked, require_absent, slice, slice_mut},
    operation::{Space, device, dustin_operation, word},
    profile::dustin_profile,
    status::dustin_status,
    versioned::versioned,
    words::{FALLBACKS, MAPS, or, require_reserved, stride_or},
};

const OPERATION: &str = "select";

/// The selection of a batch's verification sets: sinks and recent tokens, then the best of the draft's map, as many as the quota says,
/// then the best of the target's. Ties go to the lower position; a set ascends. A sequence of at most `budget` tokens is taken whole.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct dustin_select_problem {
    /// sizeof(dustin_select_problem).
    pub struct_size: u32,
    /// Sequences of the batch: 1 to 65535.
    pub batch: u32,
    /// Positions of the maps, for all sequences: 1 to 2^31 - 1.
    pub map_capacity: u32,
    /// The most positions of one set (k): 1 to 4096, a multiple of the block.
    pub budget: u32,
    /// The maps that are read, a `dustin_maps`.
    pub maps: u32,
    /// How many come from the draft's map first (m): at most `budget`, a multiple of the block, 0 without a draft's map.
    pub quota: u32,
    /// First positions that are always taken.
    pub sinks: u32,
    /// Last positions that are always taken.
    pub recent: u32,
    /// Positions that are chosen together, by the sum of their scores: up to 256; 0 for 1.
    pub block: u32,
    /// Positions that a score is averaged over first: odd, up to 63; 0 for 1.
    pub pooling: u32,
    /// Sequences of at most so many positions get -1 in place of a size: attention reads all of them.
    pub everything: u32,
    /// Slots of captured queries, if `target_slots` says which one each sequence's target map was scored from; 0 if not.
    pub slots: u32,
    /// What a sequence without a target map gets, a `dustin_fallback`.
    pub without_target: u32,
    /// Pages of the cache, where positions are looked up for slots of the cache; 0, as the next two, if they are not.
    pub pages: u32,
    /// Tokens of a page.
    pub page_size: u32,
    /// Pages of one sequence's block table.
    pub table_width: u32,
}

versioned!(dustin_select_problem { struct_size batch map_capacity budget maps } {
    quota sinks recent block pooling everything slots without_target pages page_size table_width
});

/// The arrays of a launch, in the context's memory. Strides count items; 0 stands for that of an array without gaps.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_select_args {
    /// sizeof(dustin_select_args).
    pub struct_size: u32,
    /// Reserved: 0.
    pub reserved: u32,
    /// First position of each sequence's part of the maps and, last, the end, int32 `[batch + 1]`.
    pub map_starts: *const c_void,
    /// Confirmed lengths, int32 `[batch]`.
    pub lengths: *const c_void,
    /// Positions of the sets, int32 `[batch, budget]`; what lies behind a set's size is left as it is.
    pub set: *mut c_void,
    /// Positions of each set, or -1 for all of its sequence, int32 `[batch]`.
    pub set_sizes: *mut c_void,
    /// The workspace, readied by `dustin_operation_initialise`.
    pub workspace: *mut c_void,
    /// Bytes of the workspace.
    pub workspace_bytes: u64,
    /// The target's map, float `[map_capacity]`; null unless the problem reads it.
    pub target: *const c_void,
    /// The draft's map, likewise.
    pub draft: *const c_void,
    /// The slot that each sequence's target map was scored from, negative where it has none, int32 `[batch]`; null unless the
    /// problem has slots.
    pub target_slots: *const c_void,
    /// Physical page numbers, int32 `[batch, table_width]`; null unless positions are looked up.
    pub block_table: *const c_void,
    /// The same tokens as slots of the cache, int32 `[batch, budget]`; null unless positions are looked up.
    pub physical: *mut c_void,
    /// From one sequence's block table to the next.
    pub table_stride: u64,
    /// From one sequence's set to the next.
    pub set_stride: u64,
}

versioned!(dustin_select_args {
    struct_size reserved map_starts lengths set set_sizes workspace workspace_bytes
} { target draft target_slots block_table physical table_stride set_stride });

impl Kind for dustin_select_problem {
    const OPERATION: &'static str = OPERATION;
    const HANDLE: &'static str = "select operation";
    type Problem = SelectProblem;
    type Kernel = SelectKernel;
    type Candidate = Candidate;
    type Args = dustin_select_args;

    unsafe fn read(&self) -> Result<SelectProblem, InvalidInput> {
        let Self { pages, page_size, table_width, .. } = *self;
        let looked_up = (pages, page_size, table_width) != (0, 0, 0);
        let problem = SelectProblem {
            batch: self.batch,
            map_capacity: self.map_capacity,
            budget: self.budget,
            quota: self.quota,
            sinks: self.sinks,
            recent: self.recent,
            block: or(self.block, 1),
            pooling: or(self.pooling, 1),
            everything: self.everything,
            maps: MAPS.read(OPERATION, "maps", self.maps)?,
            slots: (self.slots > 0).then_some(self.slots),
            without_target: FALLBACKS.read(OPERATION, "without_target", self.without_target)?,
            table: looked_up.then_some(SlotTable { pages, page_size, table_width }),
        };
        problem.validate()?;
        Ok(problem)
    }

    fn on_gpu(
        modules: &ModuleCache,
        profile: Option<&Read>,
        problem: &SelectProblem,
    ) -> Result<(SelectKernel, Served, Space), Error> {
        let (point, served) = choice::on_gpu(OPERATION, modules, profile, problem, Choice::gpu_selection)?;
        let plan = SelectPlan::new(problem, point.variant, point.cluster)?;
        let space = Space::of(&plan);
        Ok((SelectKernel::new(modules, plan)?, served, space))
    }

    fn on_cpu(
        cpu: &Cpu,
        profile: Option<&Read>,
        problem: &SelectProblem,
    ) -> Result<(Candidate, Served), InvalidInput> {
        choice::on_cpu(OPERATION, cpu, profile, problem, Choice::cpu_selection)
    }

    unsafe fn launch(
        kernel: &SelectKernel,
        stream: &Stream,
        problem: &SelectProblem,
        args: &dustin_select_args,
    ) -> Result<(), Error> {
        require_reserved(OPERATION, &[("reserved", args.reserved)])?;
        // SAFETY: the caller's promise.
        unsafe { kernel.launch(stream, &args.buffers(args.strides(problem))) }.map_err(Error::from)
    }

    unsafe fn run(
        candidate: &Candidate,
        backend: &mut CpuBackend,
        problem: &SelectProblem,
        args: &dustin_select_args,
    ) -> Result<(), Error> {
        require_reserved(OPERATION, &[("reserved", args.reserved)])?;
        // SAFETY: the caller's promise.
        unsafe { args.run(backend, problem, candidate, args.strides(problem)) }
    }
}

/// Plans selection, and on a GPU compiles it. `profile` is null for the built-in choice.
///
/// # Safety
/// `problem` is null or a struct of the size that its first field says; `operation` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_select_create(
    context: *const dustin_context,
    profile: *const dustin_profile,
    problem: *const dustin_select_problem,
    operation: *mut *mut dustin_operation,
) -> dustin_status {
    // SAFETY: the caller's promise.
    unsafe { kind::create(context, profile, problem, operation) }
}

/// Launches selection. On a GPU it allocates nothing, does not wait, and can be captured into a graph; `stream` is a `CUstream`, null
/// for the legacy default one. On a CPU `stream` is null.
///
/// # Safety
/// Until the launch has ended, all arrays exist with the shapes that problem and arguments say, nobody writes them, and nobody else
/// touches sets, sizes and workspace; the operation or its context is kept. What arrays contain is checked. `args` is null or a
/// struct of the size that its first field says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_select_launch(
    operation: *const dustin_operation,
    args: *const dustin_select_args,
    stream: *mut c_void,
) -> dustin_status {
    // SAFETY: the caller's promise.
    unsafe { kind::launch::<dustin_select_problem>(operation, args, stream) }
}

impl dustin_select_args {
    fn strides(&self, problem: &SelectProblem) -> SelectStrides {
        let dense = SelectStrides::dense(problem);
        SelectStrides {
            table: stride_or(self.table_stride, dense.table),
            set: stride_or(self.set_stride, dense.set),
        }
    }

    fn buffers(&self, strides: SelectStrides) -> SelectBuffers {
        SelectBuffers {
            draft: device(self.draft),
            target: device(self.target),
            map_starts: device(self.map_starts),
            lengths: device(self.lengths),
            target_slots: device(self.target_slots),
            block_table: device(self.block_table),
            set: device(self.set),
            physical: device(self.physical),
            set_sizes: device(self.set_sizes),
            workspace: device(self.workspace),
            workspace_bytes: self.workspace_bytes,
            strides,
        }
    }

    /// # Safety
    /// As [`dustin_select_launch`].
    unsafe fn run(
        &self,
        backend: &mut CpuBackend,
        problem: &SelectProblem,
        candidate: &Candidate,
        strides: SelectStrides,
    ) -> Result<(), Error> {
        strides.validate(problem)?;
        let (batch, maps, sets) =
            (u64::from(problem.batch), u64::from(problem.map_capacity), strides.set_extent(problem));
        let looked_up = problem.table.is_some();
        // SAFETY: the caller's promise, here and below.
        let arrays = unsafe {
            SelectArrays {
                draft: asked(OPERATION, "draft", self.draft, problem.maps.draft(), maps)?,
                target: asked(OPERATION, "target", self.target, problem.maps.target(), maps)?,
                map_starts: slice(OPERATION, "map_starts", self.map_starts, batch + 1)?,
                lengths: slice(OPERATION, "lengths", self.lengths, batch)?,
                target_slots: asked(
                    OPERATION,
                    "target_slots",
                    self.target_slots,
                    problem.slots.is_some(),
                    batch,
                )?,
                block_table: asked(
                    OPERATION,
                    "block_table",
                    self.block_table,
                    looked_up,
                    strides.table_extent(problem),
                )?,
                strides,
            }
        };
        require_absent(OPERATION, "physical", self.physical, looked_up)?;
        // SAFETY: as above.
        let (output, status) = unsafe {
            let physical =
                if looked_up { Some(slice_mut(OPERATION, "physical", self.physical, sets)?) } else { None };
            let output = SelectOutput {
                set: slice_mut(OPERATION, "set", self.set, sets)?,
                physical,
                set_sizes: slice_mut(OPERATION, "set_sizes", self.set_sizes, batch)?,
            };
            (output, word(OPERATION, self.workspace, self.workspace_bytes)?)
        };
        *status = backend.select(problem, candidate, &arrays, output)?.max(*status);
        Ok(())
    }
}
