//! Global memory: allocations in an address space of their own, far apart.

use super::{grid::Past, shadow::Shadow};
use crate::simt::Word;

/// Bits of an address that lie within one allocation's share of the address space.
const SHARE: u32 = 40;
/// Bytes from the start of its share to an allocation: aligned as `cuMemAlloc` aligns, and no better.
const START: u64 = 256;

/// What kernels may do with an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Read only.
    Input,
    /// Read and written, initialised by the host.
    Scratch,
    /// Written, and read only where it has been written.
    Output,
}

pub(super) struct Allocation {
    pub(super) bytes: Vec<u8>,
    pub(super) role: Role,
    pub(super) shadow: Shadow,
}

/// The global memory that launches work on.
///
/// Every allocation has 2^40 bytes of the address space to itself, so whatever is read or written outside of it
/// is found. Memory is backed when it is touched, so an allocation may be larger than the machine's memory.
/// Launches on one `Memory` are ordered by their kernel boundaries, unless they [overlap](super::Launch::overlaps), and see what
/// earlier launches wrote.
#[derive(Default)]
pub struct Memory {
    allocations: Vec<Allocation>,
    /// Clusters that have run.
    clusters: u32,
    /// The last launches, as far as the next one may overlap them.
    pub(super) past: Vec<Past>,
}

impl Memory {
    /// An empty memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An array that kernels may only read. Returns its address.
    pub fn input<T: Word>(&mut self, items: &[T]) -> u64 {
        self.allocate(bytes_of(items), Role::Input)
    }

    /// An array that kernels may read and write. Returns its address.
    pub fn scratch<T: Word>(&mut self, items: &[T]) -> u64 {
        self.allocate(bytes_of(items), Role::Scratch)
    }

    /// An array of `len` items that kernels write, and may read where a kernel or [`Memory::write`] has written.
    /// Until then every item is `poison`. Returns its address.
    pub fn output<T: Word>(&mut self, len: usize, poison: T) -> u64 {
        let mut item = vec![0; T::BYTES];
        poison.to_bytes(&mut item);
        self.allocate(item.repeat(len), Role::Output)
    }

    /// A read-only array of `len` zeros, of which only what is touched takes memory: for caches beyond 2^31
    /// items. Fill it with [`Memory::write`]. Returns its address.
    pub fn sparse_input<T: Word>(&mut self, len: usize) -> u64 {
        self.allocate(vec![0; len * T::BYTES], Role::Input)
    }

    /// Reads `len` items at `address`.
    ///
    /// # Panics
    /// If they do not lie in one allocation.
    #[must_use]
    pub fn read<T: Word>(&self, address: u64, len: usize) -> Vec<T> {
        let (allocation, offset) = self.host_range(address, len * T::BYTES);
        let bytes = &self.allocations[allocation].bytes[offset..offset + len * T::BYTES];
        bytes.chunks_exact(T::BYTES).map(T::from_bytes).collect()
    }

    /// Writes `items` at `address`, as a copy from the host would between two launches. An output that the host
    /// has written to counts as written wholly.
    ///
    /// # Panics
    /// If they do not lie in one allocation.
    pub fn write<T: Word>(&mut self, address: u64, items: &[T]) {
        let (allocation, offset) = self.host_range(address, items.len() * T::BYTES);
        let allocation = &mut self.allocations[allocation];
        allocation.bytes[offset..offset + items.len() * T::BYTES].copy_from_slice(&bytes_of(items));
        if allocation.role == Role::Output {
            allocation.role = Role::Scratch;
        }
    }

    fn allocate(&mut self, bytes: Vec<u8>, role: Role) -> u64 {
        self.allocations.push(Allocation { bytes, role, shadow: Shadow::default() });
        ((self.allocations.len() as u64) << SHARE) + START
    }

    fn host_range(&self, address: u64, bytes: usize) -> (usize, usize) {
        let (allocation, offset) = locate(address);
        let range =
            usize::try_from(offset).ok().and_then(|offset| Some((offset, offset.checked_add(bytes)?)));
        match (self.get(allocation), range) {
            (Some(found), Some((start, end))) if end <= found.bytes.len() => (allocation, start),
            _ => {
                panic!("{bytes} bytes at {address:#x} do not lie in one allocation of the executor's memory")
            }
        }
    }

    pub(super) fn get(&self, allocation: usize) -> Option<&Allocation> {
        self.allocations.get(allocation)
    }

    pub(super) fn get_mut(&mut self, allocation: usize) -> Option<&mut Allocation> {
        self.allocations.get_mut(allocation)
    }

    /// Numbers the next cluster. The first is 1, since 0 is no cluster.
    pub(super) fn next_cluster(&mut self) -> u32 {
        self.clusters += 1;
        self.clusters
    }

    /// The number that the next cluster will have.
    pub(super) fn first_cluster(&self) -> u32 {
        self.clusters + 1
    }
}

/// The allocation whose share of the address space holds `address` (an index that need not exist), and the offset
/// from the allocation's start, negative before it.
pub(super) fn locate(address: u64) -> (usize, i64) {
    let allocation = (address >> SHARE).wrapping_sub(1) as usize;
    let within = address & ((1 << SHARE) - 1);
    (allocation, within as i64 - START as i64)
}

fn bytes_of<T: Word>(items: &[T]) -> Vec<u8> {
    let mut bytes = vec![0; items.len() * T::BYTES];
    for (item, chunk) in items.iter().zip(bytes.chunks_exact_mut(T::BYTES)) {
        item.to_bytes(chunk);
    }
    bytes
}

impl Allocation {
    /// Whether reads must be preceded by a kernel's write.
    pub(super) fn needs_write(&self) -> bool {
        self.role == Role::Output
    }

    /// Whether accesses have to be followed at all: nothing races with what nobody may write.
    pub(super) fn is_followed(&self) -> bool {
        self.role != Role::Input
    }
}
