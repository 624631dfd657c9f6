//! Caches and tables as engines have them.

use std::ptr::{null, null_mut};

use dustin_c::*;

use crate::fixture::*;

const FLASHINFER: ([i64; 5], [i64; 5]) = ([16, 2, 4, 2, 64], [1024, 512, 128, 64, 1]);
const NHD: u32 = dustin_kv_layout::Nhd as u32;
const BF16: u32 = dustin_dtype::Bf16 as u32;

/// The cache of a tensor, and where its values begin.
fn of_tensor(
    shape: &[i64],
    strides: &[i64],
    tensor: dustin_kv_tensor,
    layout: dustin_kv_layout,
) -> (dustin_status, dustin_paged_kv, u64) {
    assert_eq!(shape.len(), strides.len());
    let (mut kv, mut value) = (dustin_paged_kv::default(), 77);
    let (dimensions, tensor, layout) = (shape.len() as u32, tensor as u32, layout as u32);
    // SAFETY: both have so many numbers, and the results may be written.
    let status = unsafe {
        dustin_paged_kv_from_tensor(
            shape.as_ptr(),
            strides.as_ptr(),
            dimensions,
            tensor,
            layout,
            BF16,
            &mut kv,
            &mut value,
        )
    };
    (status, kv, value)
}

#[track_caller]
fn accept(found: (dustin_status, dustin_paged_kv, u64), expected: [u64; 4]) {
    let (status, kv, value) = found;
    succeed(status);
    assert_eq!([kv.page_stride, kv.token_stride, kv.kv_head_stride, value], expected);
    assert_eq!([kv.pages, kv.page_size, kv.kv_heads, kv.head_dim], [16, 4, 2, 64]);
    assert_eq!((kv.dtype, kv.reserved), (BF16, 0));
}

#[test]
fn the_tensors_of_flashinfer_and_vllm_become_the_cache_that_their_strides_say() {
    use dustin_kv_layout::{Hnd, Nhd};
    use dustin_kv_tensor::{Alone, KeysFirst, Packed, PagesFirst};
    let (shape, strides) = FLASHINFER;
    accept(of_tensor(&shape, &strides, PagesFirst, Nhd), [1024, 128, 64, 512]);
    let hnd = of_tensor(&[16, 2, 2, 4, 64], &[1024, 512, 256, 64, 1], PagesFirst, Hnd);
    accept(hnd, [1024, 64, 256, 512]);
    // vLLM: keys first, the same shape in memory as NHD and as HND.
    let shape = [2, 16, 4, 2, 64];
    accept(of_tensor(&shape, &[8192, 512, 128, 64, 1], KeysFirst, Nhd), [512, 128, 64, 8192]);
    accept(of_tensor(&shape, &[8192, 512, 64, 256, 1], KeysFirst, Nhd), [512, 64, 256, 8192]);
    let packed = of_tensor(&[16, 2, 4, 128], &[1024, 512, 128, 1], Packed, Hnd);
    accept(packed, [1024, 128, 512, 64]);
    accept(of_tensor(&[16, 4, 2, 64], &[512, 128, 64, 1], Alone, Nhd), [512, 128, 64, 0]);
}

#[test]
fn a_pair_of_tensors_is_one_cache_if_they_are_alike() {
    let (shape, strides, other) = ([16, 4, 2, 64], [512i64, 128, 64, 1], [1024i64, 128, 64, 1]);
    let mut found = dustin_paged_kv::default();
    let mut pair = |value: &[i64; 4], layout: u32, dtype: u32| {
        let (key, value) = (strides.as_ptr(), value.as_ptr());
        // SAFETY: there are four numbers each, and the struct may be written.
        unsafe {
            dustin_paged_kv_from_pair(shape.as_ptr(), key, shape.as_ptr(), value, layout, dtype, &mut found)
        }
    };
    refuse(pair(&other, NHD, BF16), "values");
    refuse(pair(&strides, 0, BF16), "layout");
    refuse(pair(&strides, NHD, 3), "dtype");
    succeed(pair(&strides, NHD, BF16));
    let dense = kv();
    assert_eq!(
        [found.page_stride, found.token_stride, found.kv_head_stride],
        [dense.page_stride, dense.token_stride, dense.kv_head_stride]
    );
    // SAFETY: null is refused.
    refuse(
        unsafe { dustin_paged_kv_from_pair(null(), null(), null(), null(), NHD, BF16, &mut found) },
        "key_shape",
    );
}

#[test]
fn tensors_that_are_none_of_the_layout_are_refused_by_name_and_nothing_is_written() {
    let (shape, strides) = FLASHINFER;
    let with = |place: usize, size: i64, stride: i64| {
        let (mut shape, mut strides) = (shape, strides);
        (shape[place], strides[place]) = (size, stride);
        let (status, kv, value) =
            of_tensor(&shape, &strides, dustin_kv_tensor::PagesFirst, dustin_kv_layout::Nhd);
        assert_eq!((kv.pages, value), (0, 77), "nothing is written");
        status
    };
    refuse(with(1, 3, 512), "keys and values");
    refuse(with(0, 16, -1024), "page stride");
    refuse(with(2, 3, 128), "kv.page_size");
    refuse(with(3, 2, 32), "kv.kv_head_stride");
    refuse(with(4, 64, 2), "head_dim stride");
    refuse(with(4, 96, 1), "kv.head_dim");
    refuse(of_tensor(&shape, &strides, dustin_kv_tensor::Alone, dustin_kv_layout::Nhd).0, "shape");
    let (mut kv, mut value) = (dustin_paged_kv::default(), 0);
    let mut raw = |shape: *const i64, tensor: u32, dtype: u32, kv: *mut dustin_paged_kv| {
        // SAFETY: there are five numbers each; null is refused.
        unsafe { dustin_paged_kv_from_tensor(shape, strides.as_ptr(), 5, tensor, NHD, dtype, kv, &mut value) }
    };
    let pages_first = dustin_kv_tensor::PagesFirst as u32;
    refuse(raw(null(), pages_first, BF16, &mut kv), "shape");
    refuse(raw(shape.as_ptr(), 0, BF16, &mut kv), "tensor");
    refuse(raw(shape.as_ptr(), pages_first, 9, &mut kv), "dtype");
    refuse(raw(shape.as_ptr(), pages_first, BF16, null_mut()), "kv");
}

/// Tables of two sequences of 17 and 9 confirmed tokens, with 3 and 2 rows of a step, in pages of 4 tokens.
struct Tables {
    indptr: [i32; 3],
    indices: [i32; 9],
    last_page_len: [i32; 2],
    block_table: [i32; 12],
    lengths: [i32; 2],
}

const ROWS: [i32; 3] = [0, 3, 5];

impl Tables {
    /// Nothing written yet.
    fn new() -> Self {
        Self {
            indptr: [-9; 3],
            indices: [-9; 9],
            last_page_len: [-9; 2],
            block_table: [-9; 12],
            lengths: [-9; 2],
        }
    }

    fn structs(&mut self, capacity: u64) -> (dustin_csr_tables, dustin_block_tables) {
        let csr = dustin_csr_tables {
            struct_size: size_of_struct::<dustin_csr_tables>(),
            batch: 2,
            indptr: self.indptr.as_mut_ptr(),
            indices: self.indices.as_mut_ptr(),
            last_page_len: self.last_page_len.as_mut_ptr(),
            capacity,
        };
        let tables = dustin_block_tables {
            struct_size: size_of_struct::<dustin_block_tables>(),
            batch: 2,
            block_table: self.block_table.as_mut_ptr(),
            lengths: self.lengths.as_mut_ptr(),
            table_width: 5,
            reserved: 0,
            stride: 6,
        };
        (csr, tables)
    }
}

#[test]
fn compressed_rows_become_block_tables_and_these_compressed_rows_again() {
    let mut own = Tables::new();
    (own.indptr, own.last_page_len) = ([0, 5, 8], [4, 3]);
    own.indices = [0, 3, 6, 9, 12, 1, 4, 7, -9];
    let (csr, tables) = own.structs(8);
    // SAFETY: the arrays have the items that the structs say.
    succeed(unsafe { dustin_csr_to_block_tables(&csr, 4, ROWS.as_ptr(), &tables) });
    assert_eq!(own.block_table, [0, 3, 6, 9, 12, -9, 1, 4, 7, -1, -1, -9]);
    assert_eq!(own.lengths, [17, 9]);

    let mut back = Tables::new();
    (back.block_table, back.lengths) = (own.block_table, own.lengths);
    let ((csr, tables), mut pages) = (back.structs(9), 0);
    // SAFETY: as above.
    succeed(unsafe { dustin_csr_from_block_tables(&tables, 4, ROWS.as_ptr(), &csr, &mut pages) });
    assert_eq!((back.indptr, back.indices, pages), (own.indptr, own.indices, 8));
    assert_eq!(back.last_page_len, own.last_page_len);
    // Without rows of a step, all tokens of the pages are confirmed.
    // SAFETY: as above.
    succeed(unsafe { dustin_csr_to_block_tables(&csr, 4, null(), &tables) });
    assert_eq!(back.lengths, [20, 11]);
}

#[test]
fn rows_and_tables_that_do_not_fit_are_refused_by_name() {
    let refused = |change: fn(&mut Tables, &mut dustin_csr_tables, &mut dustin_block_tables), page_size| {
        let mut own = Tables::new();
        (own.indptr, own.indices, own.last_page_len) = ([0, 5, 8], [1; 9], [4, 3]);
        let (mut csr, mut tables) = own.structs(8);
        change(&mut own, &mut csr, &mut tables);
        // SAFETY: the arrays have the items that the structs say, or what they say is refused.
        unsafe { dustin_csr_to_block_tables(&csr, page_size, ROWS.as_ptr(), &tables) }
    };
    succeed(refused(|_, _, _| (), 4));
    refuse(refused(|_, _, _| (), 3), "page_size");
    refuse(refused(|_, csr, _| csr.indptr = null_mut(), 4), "indptr");
    refuse(refused(|own, _, _| own.indptr[1] = 9, 4), "indptr");
    refuse(refused(|own, _, _| own.last_page_len[0] = 5, 4), "last_page_len");
    refuse(refused(|own, _, _| (own.indptr, own.last_page_len) = ([0, 1, 2], [1, 1]), 4), "row_starts");
    refuse(refused(|_, csr, _| csr.batch = 3, 4), "lengths");
    refuse(refused(|_, _, tables| tables.table_width = 4, 4), "table_width");
    refuse(refused(|_, _, tables| tables.stride = 4, 4), "stride");
    refuse(refused(|_, _, tables| tables.reserved = 1, 4), "reserved");
    refuse(refused(|_, _, tables| tables.struct_size = 8, 4), "struct_size");

    let mut own = Tables::new();
    (own.block_table, own.lengths) = ([1; 12], [17, 9]);
    let ((csr, tables), mut pages) = (own.structs(7), 0);
    // SAFETY: as above.
    let back = |csr: &dustin_csr_tables, pages| unsafe {
        dustin_csr_from_block_tables(&tables, 4, ROWS.as_ptr(), csr, pages)
    };
    refuse(back(&csr, &mut pages), "indices");
    refuse(back(&dustin_csr_tables { capacity: 8, ..csr }, null_mut()), "pages");
    // SAFETY: there are two lengths.
    unsafe { tables.lengths.add(1).write(20) };
    refuse(back(&csr, &mut pages), "table_width");
}

#[test]
fn attention_over_flashinfers_tensor_and_tables_is_that_over_separate_caches() {
    let context = Context::new();
    let mut dense = Attention::new(&context);
    let expected = dense.launch();
    let (args, (shape, strides)) = (dense.args(), FLASHINFER);
    // Each page of keys in front of that of values.
    // SAFETY: the fixture's caches are that long.
    let cache = unsafe { std::slice::from_raw_parts(args.key.cast::<u16>(), 16 * 512) };
    let tensor: Vec<u16> = cache.chunks(512).flat_map(|page| [page, page].concat()).collect();
    let (status, kv, value) =
        of_tensor(&shape, &strides, dustin_kv_tensor::PagesFirst, dustin_kv_layout::Nhd);
    succeed(status);
    let mut own = Tables::new();
    (own.indptr, own.last_page_len) = ([0, 5, 8], [4, 3]);
    own.indices = [0, 3, 6, 9, 12, 1, 4, 7, -9];
    let (csr, tables) = own.structs(8);
    // SAFETY: the arrays have the items that the structs say.
    succeed(unsafe { dustin_csr_to_block_tables(&csr, 4, ROWS.as_ptr(), &tables) });

    let (problem, mut operation) = (dustin_attention_problem { kv, ..attention_problem() }, null_mut());
    // SAFETY: the struct is filled.
    succeed(unsafe { dustin_attention_create(context.0, null(), &problem, &mut operation) });
    let mut attention = Attention::of(operation);
    let args = dustin_attention_args {
        key: tensor.as_ptr().cast(),
        value: tensor[value as usize..].as_ptr().cast(),
        block_table: own.block_table.as_ptr().cast(),
        table_stride: 6,
        lengths: own.lengths.as_ptr().cast(),
        ..attention.args()
    };
    succeed(attention.launch_with(&args));
    let found: Vec<u32> = attention.output.iter().map(|item| item.to_bits()).collect();
    assert_eq!((found, attention.status()), (expected, (0, 0)));
    succeed(dustin_operation_destroy(operation));
    succeed(dustin_operation_destroy(dense.operation));
}
