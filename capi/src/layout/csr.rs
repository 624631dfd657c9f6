//! Pages in compressed rows, and block tables, turned into each other in host memory.

use dustin::{
    InvalidInput,
    kv::{BlockTables, BlockTablesMut, CsrTables, CsrTablesMut},
};

use crate::{
    boundary::call,
    error::Error,
    memory::{slice, slice_mut},
    status::dustin_status,
    text,
    versioned::{self, versioned},
    words::{require_reserved, stride_or},
};

const OPERATION: &str = "compressed rows";

/// The pages of a batch's sequences in compressed rows, one sequence behind the other, in host memory: FlashInfer's `paged_kv_indptr`,
/// `paged_kv_indices` and `paged_kv_last_page_len`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_csr_tables {
    /// sizeof(dustin_csr_tables).
    pub struct_size: u32,
    /// Sequences.
    pub batch: u32,
    /// Where each sequence's pages begin and, last, their number, `[batch + 1]`.
    pub indptr: *mut i32,
    /// Physical page numbers, `[capacity]`.
    pub indices: *mut i32,
    /// Tokens in each sequence's last page, `[batch]`: from 1 to the page size; without meaning where it has no pages.
    pub last_page_len: *mut i32,
    /// Pages that `indices` has room for.
    pub capacity: u64,
}

versioned!(dustin_csr_tables { struct_size batch indptr indices last_page_len capacity } {});

/// Block tables and confirmed lengths of a batch's sequences, in host memory.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_block_tables {
    /// sizeof(dustin_block_tables).
    pub struct_size: u32,
    /// Sequences.
    pub batch: u32,
    /// Physical page numbers, `[batch, table_width]`.
    pub block_table: *mut i32,
    /// Confirmed lengths, `[batch]`.
    pub lengths: *mut i32,
    /// Pages that a sequence's block table has room for.
    pub table_width: u32,
    /// Reserved: 0.
    pub reserved: u32,
    /// Items from one sequence's block table to the next; 0 for `table_width`.
    pub stride: u64,
}

versioned!(dustin_block_tables { struct_size batch block_table lengths table_width reserved } { stride });

impl dustin_block_tables {
    /// Items from one block table to the next, and of all of them.
    fn extent(&self) -> Result<(u64, u64), InvalidInput> {
        require_reserved(OPERATION, &[("reserved", self.reserved)])?;
        let width = u64::from(self.table_width);
        let stride = stride_or(self.stride, width);
        let gaps = u64::from(self.batch).checked_sub(1);
        Ok((stride, gaps.map_or(0, |gaps| gaps.saturating_mul(stride).saturating_add(width))))
    }
}

/// Writes the block tables and confirmed lengths of the sequences of `csr` to `tables`: -1 behind a sequence's pages, and behind
/// `csr`'s sequences tables of -1 and lengths of 0.
///
/// Compressed rows have room for a step's own rows, which are not confirmed: `row_starts`, `[csr->batch + 1]`, says how many each sequence
/// has; null if none. If the call fails, some tables may be written already.
///
/// # Safety
/// `csr` and `tables` are null or structs of the size that their first field says, whose arrays have the items that they say;
/// `row_starts` is null or has as many as `indptr`; those of `tables` are nobody else's meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_csr_to_block_tables(
    csr: *const dustin_csr_tables,
    page_size: u32,
    row_starts: *const i32,
    tables: *const dustin_block_tables,
) -> dustin_status {
    call(OPERATION, || {
        // SAFETY: the caller's promise, here and below.
        let (csr, tables) = unsafe {
            (versioned::read(OPERATION, "csr", csr)?, versioned::read(OPERATION, "tables", tables)?)
        };
        let (stride, items) = tables.extent()?;
        let batch = u64::from(csr.batch);
        // SAFETY: as above.
        let (rows, own, target) = unsafe {
            (
                starts(row_starts, batch)?,
                CsrTables {
                    indptr: slice(OPERATION, "indptr", csr.indptr.cast_const().cast(), batch + 1)?,
                    indices: slice(OPERATION, "indices", csr.indices.cast_const().cast(), csr.capacity)?,
                    last_page_len: slice(
                        OPERATION,
                        "last_page_len",
                        csr.last_page_len.cast_const().cast(),
                        batch,
                    )?,
                },
                BlockTablesMut {
                    block_table: slice_mut(OPERATION, "block_table", tables.block_table.cast(), items)?,
                    stride,
                    table_width: tables.table_width,
                    lengths: slice_mut(OPERATION, "lengths", tables.lengths.cast(), tables.batch.into())?,
                },
            )
        };
        own.write(page_size, rows, target).map_err(Error::from)
    })
}

/// Writes the sequences of `tables` to `csr` in compressed rows, and to `pages` how many pages they have: the reverse of
/// `dustin_csr_to_block_tables`. With `row_starts`, `[tables->batch + 1]`, the rows have room for a step's own rows behind the confirmed
/// tokens; null if there are none. If the call fails, some rows may be written already.
///
/// # Safety
/// As `dustin_csr_to_block_tables`, the arrays of `csr` being those that are written; `pages` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_csr_from_block_tables(
    tables: *const dustin_block_tables,
    page_size: u32,
    row_starts: *const i32,
    csr: *const dustin_csr_tables,
    pages: *mut u64,
) -> dustin_status {
    call(OPERATION, || {
        // SAFETY: the caller's promise, here and below.
        let (csr, tables) = unsafe {
            (versioned::read(OPERATION, "csr", csr)?, versioned::read(OPERATION, "tables", tables)?)
        };
        let (stride, items) = tables.extent()?;
        let batch = u64::from(tables.batch);
        // SAFETY: as above.
        let (rows, own, target) = unsafe {
            (
                starts(row_starts, batch)?,
                BlockTables {
                    block_table: slice(
                        OPERATION,
                        "block_table",
                        tables.block_table.cast_const().cast(),
                        items,
                    )?,
                    stride,
                    table_width: tables.table_width,
                    lengths: slice(OPERATION, "lengths", tables.lengths.cast_const().cast(), batch)?,
                },
                CsrTablesMut {
                    indptr: slice_mut(OPERATION, "indptr", csr.indptr.cast(), u64::from(csr.batch) + 1)?,
                    indices: slice_mut(OPERATION, "indices", csr.indices.cast(), csr.capacity)?,
                    last_page_len: slice_mut(
                        OPERATION,
                        "last_page_len",
                        csr.last_page_len.cast(),
                        csr.batch.into(),
                    )?,
                },
            )
        };
        let written = own.write(page_size, rows, target)?;
        // SAFETY: as above.
        unsafe { text::number(OPERATION, "pages", pages, written as u64) }.map_err(Error::from)
    })
}

/// # Safety
/// `pointer` is null or has `batch` + 1 numbers.
unsafe fn starts<'a>(pointer: *const i32, batch: u64) -> Result<Option<&'a [i32]>, InvalidInput> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    unsafe { slice(OPERATION, "row_starts", pointer.cast(), batch + 1) }.map(Some)
}
