//! Shadow memory: the history of every piece of a memory.
//!
//! Histories are kept in lines of 16 bytes, the widest access, and a line is split into granules of 2 bytes, the
//! narrowest, when an access covers a part of it. Pages of lines exist once something has touched them.

use super::clock::Stamp;
use super::history::{BULK, Cell, Crowds, Verdict, Visit};

/// Bytes of a line.
const LINE: usize = 16;
/// Bytes of a granule.
const GRANULE: usize = 2;
/// Granules in a line.
const GRANULES: usize = LINE / GRANULE;
/// Lines in a page.
const PAGE: usize = 256;

/// The history of 16 bytes.
#[derive(Clone, Debug, Default)]
struct Line {
    /// The cluster that the history belongs to, where memory lives as long as a cluster.
    cluster: u32,
    /// Number of the line's [`Shadow::splits`], plus 1; 0 while all granules share `cell`.
    split: u32,
    cell: Cell,
    /// The asynchronous copy into the line that is under way.
    in_flight: Option<Stamp>,
    /// Number of the last bulk copy into the line in [`Shadow::bulk`], plus 1; 0 if there was none.
    bulk: u32,
}

/// A bulk copy: who started it, and the phase of the mbarrier that completes with it. Whoever touches the destination has
/// waited for that phase, or is ordered behind somebody who has.
#[derive(Clone, Copy, Debug)]
pub(super) struct BulkCopy {
    pub(super) stamp: Stamp,
    pub(super) to: u32,
    pub(super) mbarrier: u32,
    pub(super) phase: u32,
}

/// The histories of one memory.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    pages: Vec<Option<Box<[Line]>>>,
    splits: Vec<[Cell; GRANULES]>,
    free: Vec<u32>,
    crowds: Crowds,
    /// The bulk copies so far.
    pub(super) bulk: Vec<BulkCopy>,
    /// The cluster that owns the memory, for memory that lives as long as a cluster; else 0.
    cluster: u32,
}

impl Shadow {
    /// Starts anew for `cluster`, before which nobody has written. Lines of earlier clusters are recognised by their
    /// number and forgotten one by one.
    pub(super) fn begin(&mut self, cluster: u32) {
        self.cluster = cluster;
        self.splits.clear();
        self.free.clear();
        self.crowds.reset();
        self.bulk.clear();
    }

    /// Checks and notes an access of `bytes` at `address`, aligned to its size.
    pub(super) fn visit(&mut self, address: usize, bytes: usize, visit: &Visit<'_>) -> Verdict {
        let Self { pages, splits, free, crowds, bulk, cluster } = self;
        let line = line(pages, *cluster, address / LINE);
        let mut in_flight = Verdict { in_flight: line.in_flight, ..Verdict::default() };
        if line.bulk != 0 {
            let copy = bulk[line.bulk as usize - 1];
            if !visit.readers.have_waited(copy.mbarrier, copy.phase) {
                in_flight.in_flight = Some(copy.stamp);
            }
        }
        if line.split == 0 {
            if bytes == LINE {
                return line.cell.visit(visit, crowds).and(in_flight);
            }
            let cells = std::array::from_fn(|_| line.cell.duplicate(crowds));
            line.cell.clear(crowds);
            line.split = free.pop().unwrap_or_else(|| {
                splits.push([Cell::default(); GRANULES]);
                splits.len() as u32
            });
            splits[line.split as usize - 1] = cells;
        }
        let first = address % LINE / GRANULE;
        let cells = &mut splits[line.split as usize - 1];
        let verdict = cells[first..first + bytes / GRANULE]
            .iter_mut()
            .fold(in_flight, |verdict, cell| verdict.and(cell.visit(visit, crowds)));
        if bytes == LINE && visit.access == super::report::Access::Write {
            merge(line, cells, free, visit.stamp, crowds);
        }
        verdict
    }

    /// Marks the line at `address` as the destination of a copy under way.
    pub(super) fn take_off(&mut self, address: usize, stamp: Stamp) {
        line(&mut self.pages, self.cluster, address / LINE).in_flight = Some(stamp);
    }

    /// A write of the line at `address` through the generic proxy that no fence, as `fenced` says, lies behind.
    pub(super) fn unfenced(&mut self, address: usize, fenced: impl Fn(Stamp) -> bool) -> Option<Stamp> {
        let line = line(&mut self.pages, self.cluster, address / LINE);
        if line.split == 0 {
            return line.cell.unfenced(fenced, &self.crowds);
        }
        self.splits[line.split as usize - 1].iter().find_map(|cell| cell.unfenced(&fenced, &self.crowds))
    }

    /// Marks the line at `address`, a write to which has been visited, as the destination of the latest bulk copy.
    pub(super) fn bulk_write(&mut self, address: usize) {
        let line = line(&mut self.pages, self.cluster, address / LINE);
        line.cell.written(BULK, &mut self.crowds);
        line.bulk = self.bulk.len() as u32;
    }

    /// Notes that the copy into the line at `address` has ended, as a write of the thread that waited for it.
    pub(super) fn land(&mut self, address: usize, stamp: Stamp) {
        let line = line(&mut self.pages, self.cluster, address / LINE);
        line.in_flight = None;
        if line.split == 0 {
            line.cell.written(stamp, &mut self.crowds);
        } else {
            let cells = &mut self.splits[line.split as usize - 1];
            merge(line, cells, &mut self.free, stamp, &mut self.crowds);
        }
    }
}

/// Line `number`, cleared if it belongs to an earlier cluster.
fn line(pages: &mut Vec<Option<Box<[Line]>>>, cluster: u32, number: usize) -> &mut Line {
    let page = number / PAGE;
    if page >= pages.len() {
        pages.resize_with(page + 1, || None);
    }
    let page = pages[page].get_or_insert_with(|| vec![Line::default(); PAGE].into_boxed_slice());
    let line = &mut page[number % PAGE];
    if line.cluster != cluster {
        *line = Line { cluster, ..Line::default() };
    }
    line
}

/// Makes a split line whole again, since one write has covered it.
fn merge(
    line: &mut Line,
    cells: &mut [Cell; GRANULES],
    free: &mut Vec<u32>,
    stamp: Stamp,
    crowds: &mut Crowds,
) {
    for cell in cells {
        cell.clear(crowds);
    }
    free.push(line.split);
    line.split = 0;
    line.cell.written(stamp, crowds);
}
