//! What a caller asks of attention, and the operation that is made of it.

use dustin::{
    InvalidInput,
    attention::{
        launch::AttentionPlan,
        problem::{AttentionProblem, Confirmed, Sets},
    },
    cpu::{CpuBackend, CpuCandidate},
    cuda::{AttentionKernel, ModuleCache, Stream},
    profile::{Choice, Read},
    verifier::Served,
};

use super::{OPERATION, launch::dustin_attention_args};
use crate::{
    choice,
    context::{Cpu, dustin_context},
    error::Error,
    kind::{self, Kind},
    kv::dustin_paged_kv,
    operation::{Space, dustin_operation},
    profile::dustin_profile,
    status::dustin_status,
    versioned::versioned,
    words::{CONFIRMED, DTYPES, ENTRIES, FLAGS, MASKS, dustin_confirmed, or, require_reserved},
};

/// Attention of one layer over confirmed tokens of a batch, and over the step's own rows, in what the host knows: capacities,
/// geometry, layout. Lengths, tables and sets lie in the context's memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct dustin_attention_problem {
    /// sizeof(dustin_attention_problem).
    pub struct_size: u32,
    /// Sequences of the batch: 1 to 65535.
    pub batch: u32,
    /// The most query rows of one sequence, its pending token and its drafts: 1 to 64.
    pub rows: u32,
    /// Query rows of the whole batch, the capacity of queries and outputs: at most batch * rows.
    pub total_rows: u32,
    /// Query heads of this rank: 1 to 16 for each KV head.
    pub query_heads: u32,
    /// Pages of one sequence's block table.
    pub table_width: u32,
    /// Element type of queries and rounded outputs, a `dustin_dtype`.
    pub dtype: u32,
    /// The confirmed tokens that are read, a `dustin_confirmed`.
    pub confirmed: u32,
    /// The caches of this rank.
    pub kv: dustin_paged_kv,
    /// Of a window: first tokens of the sequence.
    pub sinks: u32,
    /// Of a window: last confirmed tokens of the sequence.
    pub recent: u32,
    /// Of sets: the most tokens of one, a multiple of the block.
    pub set_capacity: u32,
    /// Of sets: tokens that one entry stands for, a power of two up to 256; 0 for 1.
    pub set_block: u32,
    /// Of sets: what entries count, a `dustin_entries`.
    pub set_entries: u32,
    /// Of sets: 1 if each KV head has a set of its own, 0 if all of a sequence's share one.
    pub set_per_kv_head: u32,
    /// Which of the step's own rows a row sees, a `dustin_mask`.
    pub mask: u32,
    /// 1 if the log-sum-exp is asked for.
    pub lse: u32,
    /// 1 if choices must not depend on the batch, so that a sequence's bits do not, either.
    pub batch_invariant: u32,
    /// Reserved: 0.
    pub reserved: u32,
}

versioned!(dustin_attention_problem {
    struct_size batch rows total_rows query_heads table_width dtype confirmed kv
} {
    sinks recent set_capacity set_block set_entries set_per_kv_head mask lse batch_invariant reserved
});

impl Kind for dustin_attention_problem {
    const OPERATION: &'static str = OPERATION;
    const HANDLE: &'static str = "attention operation";
    type Problem = AttentionProblem;
    type Kernel = AttentionKernel;
    type Candidate = CpuCandidate;
    type Args = dustin_attention_args;

    unsafe fn read(&self) -> Result<AttentionProblem, InvalidInput> {
        require_reserved(OPERATION, &[("reserved", self.reserved)])?;
        let dtype = DTYPES.read(OPERATION, "dtype", self.dtype)?;
        let confirmed = match CONFIRMED.read(OPERATION, "confirmed", self.confirmed)? {
            dustin_confirmed::Everything => Confirmed::Everything,
            dustin_confirmed::Window => Confirmed::Window { sinks: self.sinks, recent: self.recent },
            dustin_confirmed::Sets => Confirmed::Sets(Sets {
                capacity: self.set_capacity,
                block: or(self.set_block, 1),
                entries: ENTRIES.read(OPERATION, "set_entries", self.set_entries)?,
                per_kv_head: FLAGS.read(OPERATION, "set_per_kv_head", self.set_per_kv_head)?,
            }),
        };
        let problem = AttentionProblem {
            batch: self.batch,
            rows: self.rows,
            total_rows: self.total_rows,
            confirmed,
            query_heads: self.query_heads,
            kv: self.kv.of(OPERATION, dtype)?,
            table_width: self.table_width,
            dtype,
            mask: MASKS.read(OPERATION, "mask", self.mask)?,
            lse: FLAGS.read(OPERATION, "lse", self.lse)?,
            batch_invariant: FLAGS.read(OPERATION, "batch_invariant", self.batch_invariant)?,
        };
        problem.validate()?;
        Ok(problem)
    }

    fn on_gpu(
        modules: &ModuleCache,
        profile: Option<&Read>,
        problem: &AttentionProblem,
    ) -> Result<(AttentionKernel, Served, Space), Error> {
        let (point, served) = choice::on_gpu(OPERATION, modules, profile, problem, Choice::gpu_attention)?;
        let plan = AttentionPlan::new(problem, point.variant, point.splits)?;
        let space = Space::of(&plan);
        Ok((AttentionKernel::new(modules, plan)?, served, space))
    }

    fn on_cpu(
        cpu: &Cpu,
        profile: Option<&Read>,
        problem: &AttentionProblem,
    ) -> Result<(CpuCandidate, Served), InvalidInput> {
        choice::on_cpu(OPERATION, cpu, profile, problem, Choice::cpu_attention)
    }

    unsafe fn launch(
        kernel: &AttentionKernel,
        stream: &Stream,
        problem: &AttentionProblem,
        args: &dustin_attention_args,
    ) -> Result<(), Error> {
        let settings = args.settings(problem)?;
        // SAFETY: the caller's promise.
        unsafe { kernel.launch(stream, &args.buffers(settings)) }.map_err(Error::from)
    }

    unsafe fn run(
        candidate: &CpuCandidate,
        backend: &mut CpuBackend,
        problem: &AttentionProblem,
        args: &dustin_attention_args,
    ) -> Result<(), Error> {
        let settings = args.settings(problem)?;
        // SAFETY: the caller's promise.
        unsafe { args.run(backend, problem, candidate, settings) }
    }
}

/// Plans attention, and on a GPU compiles it: some tens of milliseconds for a variant that the context has not met. `profile` is
/// null for the built-in choice.
///
/// # Safety
/// `problem` is null or a struct of the size that its first field says; `operation` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_attention_create(
    context: *const dustin_context,
    profile: *const dustin_profile,
    problem: *const dustin_attention_problem,
    operation: *mut *mut dustin_operation,
) -> dustin_status {
    // SAFETY: the caller's promise.
    unsafe { kind::create(context, profile, problem, operation) }
}
