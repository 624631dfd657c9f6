//! What appending and compacting are told of a step, and where its rows lie.

use dustin_kernels::fault::Fault;

use super::overlap::require_disjoint;
use crate::{
    error::{InvalidInput, require_items},
    kv::PagedKv,
    strides::{require_rows, span},
};

/// A step, in what the host knows: the rows that a batch's sequences add to their caches. The same in every layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// Sequences in the batch, 1 to 65,535.
    pub batch: u32,
    /// The most rows that one sequence may have (γ + 1): 1 to 64.
    pub rows: u32,
    /// Rows in the whole batch: at most `batch · rows`.
    pub total_rows: u32,
    /// The caches of this rank, of one layer. No two head vectors of theirs may overlap.
    pub kv: PagedKv,
    /// Pages in one sequence's block table: its capacity in tokens is `table_width · page_size`.
    pub table_width: u32,
}

impl Step {
    /// Bytes of a token's keys and values in one layer.
    #[must_use]
    pub fn token_bytes(&self) -> u64 {
        4 * u64::from(self.kv.kv_heads) * u64::from(self.kv.head_dim)
    }

    /// Words of 16 bytes in a token's keys, as many as in its values.
    #[must_use]
    pub(super) fn columns(&self) -> u64 {
        u64::from(self.kv.kv_heads) * u64::from(self.kv.head_dim / 8)
    }

    /// Checks every field on behalf of `operation`.
    ///
    /// # Errors
    /// The first field that is not as documented.
    pub fn validate(&self, operation: &'static str) -> Result<(), InvalidInput> {
        let error =
            |field, required: &str, actual: u32| Err(InvalidInput::new(operation, field, required, actual));
        self.kv.validate(operation)?;
        require_disjoint(operation, &self.kv, None)?;
        if self.batch == 0 || self.batch > 65_535 {
            return error("batch", "from 1 to 65535", self.batch);
        }
        if self.rows == 0 || self.rows > 64 {
            return error("rows", "from 1 to 64", self.rows);
        }
        if self.total_rows == 0 || u64::from(self.total_rows) > u64::from(self.batch) * u64::from(self.rows) {
            return error("total_rows", "from 1 to batch · rows", self.total_rows);
        }
        self.kv.require_table(operation, self.table_width)?;
        if self.columns() * u64::from(self.rows) > i32::MAX as u64 {
            return error("kv.kv_heads", "few enough for 2^31 threads", self.kv.kv_heads);
        }
        Ok(())
    }

    /// Items of an array of block tables that lie `table_stride` items apart.
    #[must_use]
    pub fn table_extent(&self, table_stride: u64) -> u64 {
        span(self.batch.into(), table_stride, self.table_width.into())
    }
}

/// What a step's arrays say of its rows, in host memory. The shapes are those of
/// [`Step`](dustin_kernels::cache::params::Step).
#[derive(Clone, Copy, Debug)]
pub struct StepArrays<'a> {
    /// Physical page numbers, `[batch, table_width]`.
    pub block_table: &'a [i32],
    /// Items from one sequence's block table to the next.
    pub table_stride: u64,
    /// Confirmed lengths, `[batch]`: the position of each sequence's first row.
    pub lengths: &'a [i32],
    /// First row of each sequence and, last, the number of rows, `[batch + 1]`.
    pub row_starts: &'a [i32],
}

impl StepArrays<'_> {
    /// Checks on behalf of `operation` the step, the stride, and that every array holds what the shapes ask for.
    ///
    /// # Errors
    /// The first field that is not as documented, or the first array that is too short.
    pub fn validate(&self, operation: &'static str, step: &Step) -> Result<(), InvalidInput> {
        step.validate(operation)?;
        require_rows(operation, "strides.table", self.table_stride, step.table_width)?;
        let batch = u64::from(step.batch);
        for (field, actual, required) in [
            ("block_table", self.block_table.len(), step.table_extent(self.table_stride)),
            ("lengths", self.lengths.len(), batch),
            ("row_starts", self.row_starts.len(), batch + 1),
        ] {
            require_items(operation, field, actual, required)?;
        }
        Ok(())
    }

    /// The first row of `sequence` in the batch and how many it has, for a valid step.
    ///
    /// # Errors
    /// They are outside the batch's or more than the capacity, or the sequence's length is negative: nothing else of the
    /// sequence is looked at.
    pub(crate) fn rows(&self, step: &Step, sequence: u32) -> Result<(u32, u32), Fault> {
        let at = sequence as usize;
        let (first, last) = (i64::from(self.row_starts[at]), i64::from(self.row_starts[at + 1]));
        let inside = first >= 0 && last <= i64::from(step.total_rows);
        if !inside || !(0..=i64::from(step.rows)).contains(&(last - first)) {
            return Err(Fault::Rows);
        }
        if self.lengths[at] < 0 {
            return Err(Fault::Length);
        }
        Ok((first as u32, (last - first) as u32))
    }

    /// The item offset, in each cache, of the token that is row `row` of `sequence`, whose [rows](Self::rows) are sound.
    ///
    /// # Errors
    /// It lies beyond the block table, or on a page outside the cache.
    pub(crate) fn place(&self, step: &Step, sequence: u32, row: u32) -> Result<u64, Fault> {
        let position = self.lengths[sequence as usize] as u32 + row;
        let (page_index, token) = (position / step.kv.page_size, position % step.kv.page_size);
        if page_index >= step.table_width {
            return Err(Fault::Length);
        }
        let entry = sequence as usize * self.table_stride as usize + page_index as usize;
        match u32::try_from(self.block_table[entry]) {
            Ok(page) if page < step.kv.pages => Ok(step.kv.offset(page, token, 0)),
            _ => Err(Fault::Page),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::KvLayout;

    fn step() -> Step {
        Step {
            batch: 2,
            rows: 4,
            total_rows: 6,
            kv: PagedKv::dense(KvLayout::Nhd, 5, 2, 3, 64),
            table_width: 3,
        }
    }

    #[test]
    fn every_field_out_of_range_is_refused_by_name() {
        assert_eq!(step().validate("test"), Ok(()));
        let field = |change: fn(&mut Step)| {
            let mut step = step();
            change(&mut step);
            step.validate("test").unwrap_err().field
        };
        assert_eq!(field(|s| s.batch = 0), "batch");
        assert_eq!(field(|s| s.batch = 65_536), "batch");
        assert_eq!(field(|s| s.rows = 0), "rows");
        assert_eq!(field(|s| s.rows = 65), "rows");
        assert_eq!(field(|s| s.total_rows = 0), "total_rows");
        assert_eq!(field(|s| s.total_rows = 9), "total_rows");
        assert_eq!(field(|s| s.table_width = 0), "table_width");
        assert_eq!(field(|s| s.kv.page_size = 3), "kv.page_size");
        assert_eq!(field(|s| s.kv.token_stride = 8), "kv.token_stride");
        assert_eq!(
            field(|s| (s.kv.kv_heads, s.kv.token_stride, s.kv.page_stride) = (1 << 28, 1 << 36, 1 << 37)),
            "kv.kv_heads"
        );
    }

    #[test]
    fn arrays_that_are_too_short_are_refused_by_name() {
        let items = [0; 8];
        let good = StepArrays {
            block_table: &items[..7],
            table_stride: 4,
            lengths: &items[..2],
            row_starts: &items[..3],
        };
        assert_eq!(good.validate("test", &step()), Ok(()));
        let field = |arrays: StepArrays<'_>| arrays.validate("test", &step()).unwrap_err().field;
        assert_eq!(field(StepArrays { block_table: &items[..6], ..good }), "block_table");
        assert_eq!(field(StepArrays { table_stride: 2, ..good }), "strides.table");
        assert_eq!(field(StepArrays { lengths: &items[..1], ..good }), "lengths");
        assert_eq!(field(StepArrays { row_starts: &items[..2], ..good }), "row_starts");
    }

    #[test]
    fn rows_have_the_places_that_their_tables_say_or_the_fault_that_they_meet() {
        let arrays = StepArrays {
            block_table: &[4, 0, 2, 1, 5, -1],
            table_stride: 3,
            lengths: &[3, 1],
            row_starts: &[0, 4, 6],
        };
        let step = step();
        assert_eq!((arrays.rows(&step, 0), arrays.rows(&step, 1)), (Ok((0, 4)), Ok((4, 2))));
        let page = step.kv.page_stride;
        let places: Vec<_> = (0..4).map(|row| arrays.place(&step, 0, row)).collect();
        assert_eq!(places, [Ok(192), Ok(2 * page), Ok(2 * page + 192), Err(Fault::Length)]);
        let places: Vec<_> = (0..4).map(|row| arrays.place(&step, 1, row)).collect();
        assert_eq!(places, [Ok(page + 192), Err(Fault::Page), Err(Fault::Page), Err(Fault::Page)]);

        for row_starts in [[0, 5, 6], [4, 3, 6], [-1, 2, 6], [3, 7, 6], [i32::MAX, i32::MIN, 0]] {
            let arrays = StepArrays { row_starts: &row_starts, ..arrays };
            assert_eq!(arrays.rows(&step, 0), Err(Fault::Rows), "{row_starts:?}");
        }
        assert_eq!(StepArrays { lengths: &[-1, 0], ..arrays }.rows(&step, 0), Err(Fault::Length));
    }
}
