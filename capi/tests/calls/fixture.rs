//! One small attention on the CPU, and what the tests of other calls need.

use std::{
    ffi::{CStr, c_char},
    ptr::{from_ref, null, null_mut},
};

use dustin_c::*;

/// What the last call that failed on this thread was refused for.
pub(crate) fn last_error() -> String {
    // SAFETY: the text lives until the next failure on this thread.
    unsafe { CStr::from_ptr(dustin_last_error()) }.to_str().unwrap().to_owned()
}

/// That a call succeeded.
#[track_caller]
pub(crate) fn succeed(status: dustin_status) {
    assert_eq!(status, dustin_status::Ok, "{}", last_error());
}

/// That a call refused `field`.
#[track_caller]
pub(crate) fn refuse(status: dustin_status, field: &str) {
    let message = last_error();
    assert_eq!(status, dustin_status::InvalidInput, "{field}: {message}");
    assert!(message.contains(&format!(": {field} must be ")), "{field}: {message}");
}

/// The text that `call` gives, in pieces: first its length, then all of it.
pub(crate) fn text(call: impl Fn(*mut c_char, usize, *mut usize) -> dustin_status) -> String {
    let mut length = 0;
    succeed(call(null_mut(), 0, &mut length));
    let mut buffer = vec![1u8; length + 1];
    succeed(call(buffer.as_mut_ptr().cast(), buffer.len(), null_mut()));
    CStr::from_bytes_with_nul(&buffer).unwrap().to_str().unwrap().to_owned()
}

/// A context on the CPU, destroyed at the end.
pub(crate) struct Context(pub(crate) *mut dustin_context);

impl Context {
    pub(crate) fn new() -> Self {
        let mut context = null_mut();
        // SAFETY: the handle may be written.
        succeed(unsafe { dustin_context_create_cpu(2, &mut context) });
        Self(context)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        succeed(dustin_context_destroy(self.0));
    }
}

pub(crate) fn size_of_struct<T>() -> u32 {
    size_of::<T>() as u32
}

/// A cache of 16 pages of 4 tokens, of 2 KV heads.
pub(crate) fn kv() -> dustin_paged_kv {
    let mut kv = dustin_paged_kv {
        pages: 16,
        page_size: 4,
        kv_heads: 2,
        head_dim: 64,
        dtype: dustin_dtype::Bf16 as u32,
        ..dustin_paged_kv::default()
    };
    // SAFETY: the struct may be written.
    succeed(unsafe { dustin_paged_kv_set_strides(&mut kv, dustin_kv_layout::Nhd as u32, 0) });
    kv
}

/// Two sequences of up to 3 rows over sets of up to 8 positions.
pub(crate) fn attention_problem() -> dustin_attention_problem {
    dustin_attention_problem {
        struct_size: size_of_struct::<dustin_attention_problem>(),
        batch: 2,
        rows: 3,
        total_rows: 5,
        query_heads: 4,
        table_width: 5,
        dtype: dustin_dtype::Bf16 as u32,
        confirmed: dustin_confirmed::Sets as u32,
        kv: kv(),
        set_capacity: 8,
        ..dustin_attention_problem::default()
    }
}

/// The arrays of [`attention_problem`] and its workspace, and an operation for it.
pub(crate) struct Attention {
    pub(crate) operation: *mut dustin_operation,
    items: Vec<u16>,
    cache: Vec<u16>,
    numbers: Vec<i32>,
    pub(crate) output: Vec<f32>,
    pub(crate) workspace: Vec<u64>,
}

// SAFETY: a handle is a number that every thread may use.
unsafe impl Send for Attention {}

impl Attention {
    pub(crate) fn new(context: &Context) -> Self {
        let (problem, mut operation) = (attention_problem(), null_mut());
        // SAFETY: the struct is filled.
        succeed(unsafe { dustin_attention_create(context.0, null(), &problem, &mut operation) });
        Self::of(operation)
    }

    /// Arrays and a workspace of their own for `operation`.
    pub(crate) fn of(operation: *mut dustin_operation) -> Self {
        let bf16 = |i: usize| (0.5f32 + (i % 97) as f32 / 97.0).to_bits().wrapping_shr(16) as u16;
        let mut own = Self {
            operation,
            items: (0..5 * 4 * 64).map(bf16).collect(),
            cache: (0..16 * 4 * 2 * 64).map(|i| bf16(i / 64)).collect(),
            // Tables, lengths, row starts, sets, sizes.
            numbers: [
                &[0, 3, 6, 9, 12, 1, 4, 7, 10, 13][..],
                &[17, 9],
                &[0, 3, 5],
                &[0, 2, 4, 6, 8, 10, 12, 14],
                &[1, 3, 5, 7, 0, 0, 0, 0],
                &[8, 4],
            ]
            .concat(),
            output: vec![f32::NAN; 5 * 4 * 64],
            workspace: vec![u64::MAX; 1],
        };
        own.initialise();
        own
    }

    pub(crate) fn initialise(&mut self) {
        let workspace = self.workspace.as_mut_ptr().cast();
        // SAFETY: the workspace is the vector's.
        succeed(unsafe { dustin_operation_initialise(self.operation, workspace, 8, null_mut()) });
    }

    pub(crate) fn args(&mut self) -> dustin_attention_args {
        let numbers = |first: usize| self.numbers[first..].as_ptr().cast();
        dustin_attention_args {
            struct_size: size_of_struct::<dustin_attention_args>(),
            scale: 0.125,
            query: self.items.as_ptr().cast(),
            key: self.cache.as_ptr().cast(),
            value: self.cache.as_ptr().cast(),
            block_table: numbers(0),
            lengths: numbers(10),
            row_starts: numbers(12),
            set: numbers(15),
            set_sizes: numbers(31),
            output: self.output.as_mut_ptr().cast(),
            workspace: self.workspace.as_mut_ptr().cast(),
            workspace_bytes: 8,
            output_type: dustin_output_type::F32 as u32,
            masks: null(),
            lse: null_mut(),
            key_scale: null(),
            value_scale: null(),
            query_row_stride: 0,
            query_head_stride: 0,
            output_row_stride: 0,
            output_head_stride: 0,
            table_stride: 0,
            set_stride: 0,
            set_head_stride: 0,
            lse_base: 0,
            stable: 0,
            reserved: 0,
        }
    }

    /// The status of a launch with `args`.
    pub(crate) fn launch_with(&self, args: &dustin_attention_args) -> dustin_status {
        // SAFETY: the struct is filled, and its arrays have the problem's shapes or are refused.
        unsafe { dustin_attention_launch(self.operation, args, null_mut()) }
    }

    /// The outputs of a launch.
    pub(crate) fn launch(&mut self) -> Vec<u32> {
        self.output.fill(f32::NAN);
        let args = self.args();
        succeed(self.launch_with(&args));
        assert!(self.output.iter().all(|item| item.is_finite()));
        self.output.iter().map(|item| item.to_bits()).collect()
    }

    /// Plants a page outside the cache in the first sequence's table.
    pub(crate) fn plant(&mut self) {
        self.numbers[0] = 99;
    }

    /// The fault that launches found, and the sequence.
    pub(crate) fn status(&mut self) -> (u32, u32) {
        let (mut fault, mut sequence) = (7, 7);
        let workspace = self.workspace.as_mut_ptr().cast();
        // SAFETY: the workspace is the vector's, and the numbers may be written.
        succeed(unsafe {
            dustin_operation_status(self.operation, workspace, 8, null_mut(), &mut fault, &mut sequence)
        });
        (fault, sequence)
    }
}

/// Selection of up to 8 positions of two sequences by the target's map.
pub(crate) fn select_problem() -> dustin_select_problem {
    dustin_select_problem {
        struct_size: size_of_struct::<dustin_select_problem>(),
        batch: 2,
        map_capacity: 40,
        budget: 8,
        maps: dustin_maps::Target as u32,
        ..dustin_select_problem::default()
    }
}

pub(crate) fn append_problem() -> dustin_append_problem {
    dustin_append_problem {
        struct_size: size_of_struct::<dustin_append_problem>(),
        batch: 2,
        rows: 3,
        total_rows: 5,
        table_width: 5,
        query_heads: 0,
        kv: kv(),
    }
}

pub(crate) fn compact_problem() -> dustin_compact_problem {
    dustin_compact_problem {
        struct_size: size_of_struct::<dustin_compact_problem>(),
        batch: 2,
        rows: 3,
        total_rows: 5,
        table_width: 5,
        layers: 2,
        accepted: 3,
        counted: 0,
        kv: kv(),
    }
}

/// The heads 0 and 3 of one layer.
pub(crate) fn score_heads() -> dustin_score_heads {
    static HEADS: [u32; 2] = [0, 3];
    dustin_score_heads { heads: HEADS.as_ptr(), weights: null(), count: 2, reserved: 0 }
}

pub(crate) fn score_problem(heads: &dustin_score_heads) -> dustin_score_problem {
    dustin_score_problem {
        struct_size: size_of_struct::<dustin_score_problem>(),
        batch: 2,
        map_capacity: 40,
        tokens: 1,
        slots: 2,
        query_heads: 4,
        table_width: 5,
        dtype: dustin_dtype::Bf16 as u32,
        kv: kv(),
        layers: from_ref(heads),
        layer_count: 1,
        accumulate: 0,
    }
}

/// The status of creating an operation, which is destroyed at once.
pub(crate) fn create(call: impl FnOnce(*mut *mut dustin_operation) -> dustin_status) -> dustin_status {
    let mut operation = null_mut();
    let status = call(&mut operation);
    succeed(dustin_operation_destroy(operation));
    status
}
