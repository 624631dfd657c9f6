//! Block tables and lengths turned into pages in compressed rows, as FlashInfer addresses them.

use crate::{
    error::{InvalidInput, require_items},
    strides::{require_rows, span},
};

const OPERATION: &str = "compressed rows from block tables";

/// Block tables and confirmed lengths of a batch's sequences, in host memory.
#[derive(Clone, Copy, Debug)]
pub struct BlockTables<'a> {
    /// Physical page numbers, `[batch, table_width]`; what lies behind a sequence's pages is not looked at.
    pub block_table: &'a [i32],
    /// Items from one sequence's block table to the next.
    pub stride: u64,
    /// Pages that a sequence's block table has room for.
    pub table_width: u32,
    /// Confirmed lengths, `[batch]`.
    pub lengths: &'a [i32],
}

/// Compressed rows to be written: `paged_kv_indptr`, `paged_kv_indices` and `paged_kv_last_page_len` of FlashInfer.
#[derive(Debug)]
pub struct CsrTablesMut<'a> {
    /// Where each sequence's pages begin and, last, their number, `[batch + 1]`.
    pub indptr: &'a mut [i32],
    /// Physical page numbers, as many as the sequences have pages, or more.
    pub indices: &'a mut [i32],
    /// Tokens in each sequence's last page, `[batch]`; 0 where it has no pages.
    pub last_page_len: &'a mut [i32],
}

impl BlockTables<'_> {
    /// Writes the compressed rows of sequences in pages of `page_size` tokens, and says how many pages they have: the reverse of
    /// [`CsrTables::write`](super::CsrTables::write).
    ///
    /// With `row_starts`, `[batch + 1]` or longer, the rows have room for a step's own rows behind the confirmed tokens.
    ///
    /// # Errors
    /// An array is too short, a length is negative, `row_starts` descends, or a sequence has more pages than its table or one that is
    /// negative. Then some rows may be written already.
    pub fn write(
        &self,
        page_size: u32,
        row_starts: Option<&[i32]>,
        csr: CsrTablesMut<'_>,
    ) -> Result<usize, InvalidInput> {
        let Self { block_table, stride, table_width, lengths } = *self;
        let CsrTablesMut { indptr, indices, last_page_len } = csr;
        let batch = lengths.len() as u64;
        if !page_size.is_power_of_two() || page_size > 256 {
            return Err(InvalidInput::new(OPERATION, "page_size", "a power of two from 1 to 256", page_size));
        }
        require_rows(OPERATION, "stride", stride, table_width)?;
        require_items(OPERATION, "block_table", block_table.len(), span(batch, stride, table_width.into()))?;
        require_items(OPERATION, "indptr", indptr.len(), batch + 1)?;
        require_items(OPERATION, "last_page_len", last_page_len.len(), batch)?;
        row_starts
            .map_or(Ok(()), |starts| require_items(OPERATION, "row_starts", starts.len(), batch + 1))?;
        let mut written = 0;
        indptr[0] = 0;
        for sequence in 0..lengths.len() {
            let tokens = tokens(lengths[sequence], row_starts, sequence)?;
            let pages = tokens.div_ceil(page_size.into());
            if pages > u64::from(table_width) {
                let (required, actual) = (format!("at least {pages}"), of(table_width, sequence));
                return Err(InvalidInput::new(OPERATION, "table_width", required, actual));
            }
            let table = &block_table[sequence * stride as usize..][..pages as usize];
            if let Some(page) = table.iter().find(|&&page| page < 0) {
                let required = format!("a page for each of the {tokens} tokens");
                return Err(InvalidInput::new(OPERATION, "block_table", required, of(page, sequence)));
            }
            let end = written + table.len();
            let all = i32::try_from(end)
                .map_err(|_| InvalidInput::new(OPERATION, "block_table", "fewer than 2^31 pages", end))?;
            require_items(OPERATION, "indices", indices.len(), end as u64)?;
            indices[written..end].copy_from_slice(table);
            last_page_len[sequence] =
                tokens.checked_sub(1).map_or(0, |before| (before % u64::from(page_size)) as i32 + 1);
            indptr[sequence + 1] = all;
            written = end;
        }
        Ok(written)
    }
}

/// The tokens of `sequence`, its own rows included.
fn tokens(length: i32, row_starts: Option<&[i32]>, sequence: usize) -> Result<u64, InvalidInput> {
    let error = |field, required, actual| InvalidInput::new(OPERATION, field, required, of(actual, sequence));
    let confirmed = u64::try_from(length).map_err(|_| error("lengths", "at least 0", length))?;
    let Some(starts) = row_starts else { return Ok(confirmed) };
    let (first, end) = (starts[sequence], starts[sequence + 1]);
    let rows = u64::try_from(i64::from(end) - i64::from(first));
    rows.map(|rows| confirmed + rows).map_err(|_| error("row_starts", "ascending", end))
}

fn of(actual: impl std::fmt::Display, sequence: usize) -> String {
    format!("{actual} of sequence {sequence}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::{BlockTablesMut, CsrTables};

    /// Sequences of 37, 0 and 16 tokens in tables of 3 pages, 5 items apart.
    const TABLE: [i32; 15] = [7, 2, 9, 99, 99, -1, -1, -1, 99, 99, 4, -1, -1, 99, 99];

    fn tables(lengths: &[i32]) -> BlockTables<'_> {
        BlockTables { block_table: &TABLE, stride: 5, table_width: 3, lengths }
    }

    type Rows = ([i32; 4], [i32; 8], [i32; 3], usize);

    fn written(tables: BlockTables<'_>, row_starts: Option<&[i32]>) -> Result<Rows, InvalidInput> {
        let (mut indptr, mut indices, mut last_page_len) = ([99; 4], [99; 8], [99; 3]);
        let csr =
            CsrTablesMut { indptr: &mut indptr, indices: &mut indices, last_page_len: &mut last_page_len };
        let pages = tables.write(16, row_starts, csr)?;
        Ok((indptr, indices, last_page_len, pages))
    }

    #[test]
    fn pages_stand_one_sequence_behind_the_other_and_nothing_is_written_behind_them() {
        let (indptr, indices, last_page_len, pages) = written(tables(&[37, 0, 16]), None).unwrap();
        assert_eq!((indptr, pages), ([0, 3, 3, 4], 4));
        assert_eq!((indices, last_page_len), ([7, 2, 9, 4, 99, 99, 99, 99], [5, 0, 16]));
        // The same tokens, of which five of the first sequence are rows of a step.
        let with_rows = written(tables(&[32, 0, 16]), Some(&[0, 5, 5, 5])).unwrap();
        assert_eq!(with_rows, (indptr, indices, last_page_len, pages));
    }

    #[test]
    fn what_is_written_gives_the_tables_back() {
        for (lengths, row_starts) in [([37, 0, 16], [0; 4]), ([27, 0, 11], [0, 5, 5, 10])] {
            let (indptr, indices, last_page_len, pages) =
                written(tables(&lengths), Some(&row_starts)).unwrap();
            let csr =
                CsrTables { indptr: &indptr, indices: &indices[..pages], last_page_len: &last_page_len };
            let (mut block_table, mut back) = ([0; 15], [0; 3]);
            let target = BlockTablesMut {
                block_table: &mut block_table,
                stride: 5,
                table_width: 3,
                lengths: &mut back,
            };
            csr.write(16, Some(&row_starts), target).unwrap();
            assert_eq!(back, lengths);
            for sequence in 0..3 {
                let own = 5 * sequence..5 * sequence + 3;
                let used = indptr[sequence + 1] - indptr[sequence];
                let expected: Vec<i32> = (0..3)
                    .map(|page| if page < used { TABLE[5 * sequence + page as usize] } else { -1 })
                    .collect();
                assert_eq!(block_table[own], expected);
            }
        }
    }

    #[test]
    fn tables_that_do_not_hold_their_tokens_are_refused_by_name() {
        let field = |lengths: &[i32]| written(tables(lengths), None).unwrap_err().field;
        assert_eq!(field(&[49, 0, 0]), "table_width");
        assert_eq!(field(&[0, 1, 0]), "block_table");
        assert_eq!(field(&[0, 0, 17]), "block_table");
        assert_eq!(field(&[0, -1, 0]), "lengths");
        assert_eq!(field(&[0; 4]), "block_table");
        let rows = |starts: &[i32]| written(tables(&[0; 3]), Some(starts)).unwrap_err().field;
        assert_eq!(rows(&[0, 1]), "row_starts");
        assert_eq!(rows(&[0, 1, 0, 0]), "row_starts");
        let narrow = BlockTables { stride: 2, ..tables(&[0; 3]) };
        assert_eq!(written(narrow, None).unwrap_err().field, "stride");
        let error = written(tables(&[0, 0, 40]), None).unwrap_err().to_string();
        assert_eq!(
            error,
            "compressed rows from block tables: block_table must be a page for each of the 40 tokens, but is -1 of sequence 2"
        );
    }

    #[test]
    fn rows_without_room_are_refused_by_name() {
        let field = |page_size, indptr: usize, indices: usize, last: usize| {
            let (mut a, mut b, mut c) = (vec![0; indptr], vec![0; indices], vec![0; last]);
            let csr = CsrTablesMut { indptr: &mut a, indices: &mut b, last_page_len: &mut c };
            tables(&[37, 0, 16]).write(page_size, None, csr).err().map(|error| error.field)
        };
        assert_eq!(field(16, 4, 4, 3), None);
        assert_eq!(field(12, 4, 4, 3), Some("page_size"));
        assert_eq!(field(16, 3, 4, 3), Some("indptr"));
        assert_eq!(field(16, 4, 3, 3), Some("indices"));
        assert_eq!(field(16, 4, 4, 2), Some("last_page_len"));
    }

    #[test]
    fn no_sequences_have_no_pages() {
        let csr = CsrTablesMut { indptr: &mut [7], indices: &mut [], last_page_len: &mut [] };
        let none = BlockTables { block_table: &[], stride: 3, table_width: 3, lengths: &[] };
        assert_eq!(none.write(16, None, csr), Ok(0));
    }
}
