//! Pages in compressed rows, as FlashInfer addresses them, turned into block tables and lengths.

use crate::{
    error::{InvalidInput, require_items},
    strides::{require_rows, span},
};

const OPERATION: &str = "block tables from compressed rows";

/// What stands in a block table behind a sequence's pages: no page.
const NO_PAGE: i32 = -1;

/// The pages of a batch's sequences, one sequence behind the other, in host memory: `paged_kv_indptr`, `paged_kv_indices` and
/// `paged_kv_last_page_len` of FlashInfer.
///
/// Where they stand on the device, block table and lengths do as well by the same rule, entry by entry: `i` of sequence `b` is
/// `indices[indptr[b] + i]`. A library of arrays has that in a line, and engines that keep a table of tokens or pages for each request
/// have it to begin with.
#[derive(Clone, Copy, Debug)]
pub struct CsrTables<'a> {
    /// Where each sequence's pages begin and, last, their number, `[batch + 1]`.
    pub indptr: &'a [i32],
    /// Physical page numbers, `[indptr[batch]]`.
    pub indices: &'a [i32],
    /// Tokens in each sequence's last page, `[batch]`: from 1 to `page_size`; without meaning where it has no pages.
    pub last_page_len: &'a [i32],
}

/// Block tables and lengths to be written.
#[derive(Debug)]
pub struct BlockTablesMut<'a> {
    /// Physical page numbers, `[max_batch, table_width]`; -1 behind a sequence's pages, and behind the last sequence.
    pub block_table: &'a mut [i32],
    /// Items from one sequence's block table to the next.
    pub stride: u64,
    /// Pages that a sequence's block table has room for.
    pub table_width: u32,
    /// Confirmed lengths, `[max_batch]`; 0 behind the last sequence.
    pub lengths: &'a mut [i32],
}

impl CsrTables<'_> {
    /// Writes the block tables and the confirmed lengths of sequences in pages of `page_size` tokens.
    ///
    /// Compressed rows have room for a step's own rows, which are not confirmed: `row_starts`, `[batch + 1]` or longer, says how many
    /// each sequence has. Nothing: all tokens of the pages are confirmed.
    ///
    /// # Errors
    /// An array is too short, sequences are more than `lengths` has room for or their pages more than a table has, `indptr` does not
    /// begin with 0, descends or exceeds the pages, a last page has no token or too many, or a sequence has fewer tokens than rows of
    /// its own. Then some tables may be written already.
    pub fn write(
        &self,
        page_size: u32,
        row_starts: Option<&[i32]>,
        tables: BlockTablesMut<'_>,
    ) -> Result<(), InvalidInput> {
        let BlockTablesMut { block_table, stride, table_width, lengths } = tables;
        let (batch, room) = (self.last_page_len.len(), lengths.len() as u64);
        if !page_size.is_power_of_two() || page_size > 256 {
            return Err(InvalidInput::new(OPERATION, "page_size", "a power of two from 1 to 256", page_size));
        }
        require_items(OPERATION, "lengths", lengths.len(), batch as u64)?;
        require_rows(OPERATION, "stride", stride, table_width)?;
        require_items(OPERATION, "block_table", block_table.len(), span(room, stride, table_width.into()))?;
        require_items(OPERATION, "indptr", self.indptr.len(), batch as u64 + 1)?;
        row_starts.map_or(Ok(()), |starts| {
            require_items(OPERATION, "row_starts", starts.len(), batch as u64 + 1)
        })?;
        if self.indptr[0] != 0 {
            return Err(InvalidInput::new(OPERATION, "indptr", "from 0 on", self.indptr[0]));
        }
        for (sequence, length) in lengths.iter_mut().enumerate() {
            let pages = if sequence < batch { self.pages(sequence)? } else { &[] };
            if pages.len() > table_width as usize {
                let (required, actual) = (format!("at least {}", pages.len()), of(table_width, sequence));
                return Err(InvalidInput::new(OPERATION, "table_width", required, actual));
            }
            let table = &mut block_table[sequence * stride as usize..][..table_width as usize];
            let (given, rest) = table.split_at_mut(pages.len());
            given.copy_from_slice(pages);
            rest.fill(NO_PAGE);
            *length = if sequence < batch { self.confirmed(sequence, page_size, row_starts)? } else { 0 };
        }
        Ok(())
    }

    /// The pages of `sequence`.
    fn pages(&self, sequence: usize) -> Result<&[i32], InvalidInput> {
        let (first, end) = (self.indptr[sequence], self.indptr[sequence + 1]);
        let range = usize::try_from(first).ok().zip(usize::try_from(end).ok());
        range.and_then(|(first, end)| self.indices.get(first..end)).ok_or_else(|| {
            let required = format!("ascending, within the {} pages", self.indices.len());
            InvalidInput::new(OPERATION, "indptr", required, of(format!("{first} and {end}"), sequence))
        })
    }

    /// The tokens of `sequence` but for its own rows.
    fn confirmed(
        &self,
        sequence: usize,
        page_size: u32,
        row_starts: Option<&[i32]>,
    ) -> Result<i32, InvalidInput> {
        let pages = i64::from(self.indptr[sequence + 1]) - i64::from(self.indptr[sequence]);
        let last = i64::from(self.last_page_len[sequence]);
        if pages > 0 && !(1..=i64::from(page_size)).contains(&last) {
            let required = format!("from 1 to {page_size}");
            return Err(InvalidInput::new(OPERATION, "last_page_len", required, of(last, sequence)));
        }
        let tokens = if pages > 0 { (pages - 1) * i64::from(page_size) + last } else { 0 };
        let rows =
            row_starts.map_or(0, |starts| i64::from(starts[sequence + 1]) - i64::from(starts[sequence]));
        match i32::try_from(tokens - rows) {
            Ok(confirmed) if confirmed >= 0 && rows >= 0 => Ok(confirmed),
            _ => {
                let required = format!("ascending, of at most the {tokens} tokens of the pages");
                Err(InvalidInput::new(
                    OPERATION,
                    "row_starts",
                    required,
                    of(format!("{rows} rows"), sequence),
                ))
            }
        }
    }
}

fn of(actual: impl std::fmt::Display, sequence: usize) -> String {
    format!("{actual} of sequence {sequence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: CsrTables<'_> =
        CsrTables { indptr: &[0, 3, 3, 4], indices: &[7, 2, 9, 4], last_page_len: &[5, 0, 16] };

    /// Tables for 4 sequences of up to 3 pages, 5 items apart.
    fn written(csr: CsrTables<'_>, row_starts: Option<&[i32]>) -> Result<(Vec<i32>, [i32; 4]), InvalidInput> {
        let (mut block_table, mut lengths) = (vec![99; 18], [99; 4]);
        let tables = BlockTablesMut {
            block_table: &mut block_table,
            stride: 5,
            table_width: 3,
            lengths: &mut lengths,
        };
        csr.write(16, row_starts, tables).map(|()| (block_table, lengths))
    }

    #[test]
    fn pages_stand_in_their_sequences_tables_and_lengths_are_the_tokens_before_the_own_rows() {
        let (tables, lengths) = written(GOOD, None).unwrap();
        #[rustfmt::skip]
        let expected = [
            7, 2, 9, 99, 99,
            -1, -1, -1, 99, 99,
            4, -1, -1, 99, 99,
            -1, -1, -1,
        ];
        assert_eq!((tables, lengths), (expected.to_vec(), [37, 0, 16, 0]));
        let (_, lengths) = written(GOOD, Some(&[0, 5, 5, 21, 21])).unwrap();
        assert_eq!(lengths, [32, 0, 0, 0]);
    }

    #[test]
    fn rows_that_do_not_fit_are_refused_by_name() {
        let field = |csr| written(csr, None).unwrap_err().field;
        assert_eq!(field(CsrTables { indptr: &[0, 3, 3], ..GOOD }), "indptr");
        assert_eq!(field(CsrTables { indptr: &[1, 3, 3, 4], ..GOOD }), "indptr");
        assert_eq!(field(CsrTables { indptr: &[0, 3, 2, 4], ..GOOD }), "indptr");
        assert_eq!(field(CsrTables { indptr: &[0, 3, 3, 5], ..GOOD }), "indptr");
        assert_eq!(field(CsrTables { indptr: &[0, -3, 3, 4], ..GOOD }), "indptr");
        assert_eq!(field(CsrTables { indptr: &[0, 4, 4, 4], ..GOOD }), "table_width");
        assert_eq!(field(CsrTables { last_page_len: &[0, 0, 16], ..GOOD }), "last_page_len");
        assert_eq!(field(CsrTables { last_page_len: &[5, 0, 17], ..GOOD }), "last_page_len");
        let five = CsrTables { indptr: &[0; 6], last_page_len: &[0; 5], ..GOOD };
        assert_eq!(field(five), "lengths");
        let rows = |row_starts: &[i32]| written(GOOD, Some(row_starts)).unwrap_err();
        assert_eq!(rows(&[0, 5]).field, "row_starts");
        assert_eq!(rows(&[0, 5, 4, 4]).field, "row_starts");
        assert_eq!(
            rows(&[0, 5, 6, 7]).to_string(),
            "block tables from compressed rows: row_starts must be ascending, of at most the 0 tokens of the pages, but is 1 \
             rows of sequence 1"
        );
    }

    #[test]
    fn tables_that_are_too_small_are_refused_by_name() {
        let field = |page_size, items, stride| {
            let (mut block_table, mut lengths) = (vec![0; items], [0; 3]);
            let tables = BlockTablesMut {
                block_table: &mut block_table,
                stride,
                table_width: 3,
                lengths: &mut lengths,
            };
            GOOD.write(page_size, None, tables).err().map(|error| error.field)
        };
        assert_eq!(field(16, 9, 3), None);
        assert_eq!(field(12, 9, 3), Some("page_size"));
        assert_eq!(field(16, 9, 2), Some("stride"));
        assert_eq!(field(16, 8, 3), Some("block_table"));
    }
}
