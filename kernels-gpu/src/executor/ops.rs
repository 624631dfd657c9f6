//! What the vocabulary calls on the host.
//!
//! Each operation carries the source location of the kernel's line that uses it.

use std::panic::Location;

pub(crate) use super::mma::MmaItem;
use super::{
    cluster::Arrival,
    collective::Operation,
    lane,
    machine::{self, Machine},
    remote,
    report::Access,
    sites::{SiteId, SyncKind},
};
use crate::simt::Word;

/// What an operation makes of its thread.
enum Then<R> {
    /// It goes on, with the operation's result.
    Go(R),
    /// It waits until the scheduler resumes it.
    Wait,
}

/// Performs an operation, and lets its thread wait if it must. Nothing is returned after a wait, and nothing is
/// done in a lane that is unwound.
#[inline]
#[track_caller]
fn perform<R>(work: impl FnOnce(&mut Machine, SiteId) -> Then<R>) -> Option<R> {
    let (then, stopped) = machine::at(Location::caller(), |machine, site| {
        if lane::is_unwinding() {
            return None;
        }
        machine.tick(site);
        Some((work(machine, site), machine.stopped))
    })?;
    match then {
        Then::Go(result) if !stopped => Some(result),
        _ => {
            // A lane of a launch that has been stopped is never resumed, but unwound.
            lane::suspend();
            None
        }
    }
}

/// Performs an operation that waits for nobody.
#[inline]
#[track_caller]
fn step<R>(work: impl FnOnce(&mut Machine, SiteId) -> Option<R>) -> Option<R> {
    perform(|machine, site| Then::Go(work(machine, site))).flatten()
}

/// Performs a synchronisation operation, unless the run drops it.
#[inline]
#[track_caller]
fn synchronise(kind: SyncKind, work: impl FnOnce(&mut Machine, SiteId) -> Then<()>) {
    let location = Location::caller();
    perform(
        |machine, site| {
            if machine.sites.synchronises(kind, location) { work(machine, site) } else { Then::Go(()) }
        },
    );
}

/// Performs a warp-wide operation.
#[inline]
#[track_caller]
fn collective(operation: Operation) -> [u32; 4] {
    perform(|machine, site| {
        machine.post(operation, site);
        Then::<()>::Wait
    });
    machine::with(|machine| machine.threads[usize::from(machine.current)].result)
}

#[track_caller]
pub(crate) fn thread_index() -> u32 {
    machine::with(|machine| (usize::from(machine.current) - machine.rank * machine.block_threads) as u32)
}

#[track_caller]
pub(crate) fn block_index(axis: usize) -> u32 {
    machine::with(|machine| machine.cluster.block(machine.rank)[axis])
}

#[track_caller]
pub(crate) fn grid_size(axis: usize) -> u32 {
    machine::with(|machine| machine.grid[axis])
}

#[track_caller]
pub(crate) fn block_sync() {
    synchronise(SyncKind::BlockBarrier, |machine, site| {
        machine.arrive(0, None, site);
        Then::Wait
    });
}

#[track_caller]
pub(crate) fn named_sync(id: u32, threads: u32) {
    synchronise(SyncKind::NamedBarrier, |machine, site| {
        machine.arrive(id, Some(threads), site);
        Then::Wait
    });
}

#[track_caller]
pub(crate) fn warp_sync() {
    synchronise(SyncKind::WarpBarrier, |machine, site| {
        machine.post(Operation::Sync, site);
        Then::Wait
    });
}

#[track_caller]
pub(crate) fn shuffle_xor(value: u32, mask: u32) -> u32 {
    collective(Operation::ShuffleXor { value, mask })[0]
}

#[track_caller]
pub(crate) fn shuffle_index(value: u32, source: u32) -> u32 {
    collective(Operation::ShuffleIndex { value, source })[0]
}

#[track_caller]
pub(crate) fn shuffle_up(value: u32, delta: u32) -> u32 {
    collective(Operation::ShuffleUp { value, delta })[0]
}

#[track_caller]
pub(crate) fn ballot(predicate: bool) -> u32 {
    collective(Operation::Ballot { predicate })[0]
}

#[track_caller]
pub(crate) fn reduce_add(value: u32) -> u32 {
    collective(Operation::ReduceAdd { value })[0]
}

#[track_caller]
pub(crate) fn reduce_max(value: u32) -> u32 {
    collective(Operation::ReduceMax { value })[0]
}

#[track_caller]
pub(crate) fn cluster_rank() -> u32 {
    machine::with(|machine| machine.rank as u32)
}

#[track_caller]
pub(crate) fn cluster_size() -> u32 {
    machine::with(|machine| machine.cluster.blocks() as u32)
}

#[track_caller]
pub(crate) fn cluster_arrive() {
    cluster_barrier(SyncKind::ClusterArrive, Some(Arrival::Release), false);
}

#[track_caller]
pub(crate) fn cluster_arrive_relaxed() {
    cluster_barrier(SyncKind::ClusterArriveRelaxed, Some(Arrival::Relaxed), false);
}

#[track_caller]
pub(crate) fn cluster_wait() {
    cluster_barrier(SyncKind::ClusterWait, None, true);
}

#[track_caller]
pub(crate) fn cluster_sync() {
    cluster_barrier(SyncKind::ClusterBarrier, Some(Arrival::Release), true);
}

#[track_caller]
fn cluster_barrier(kind: SyncKind, arrival: Option<Arrival>, waits: bool) {
    synchronise(kind, |machine, site| {
        machine.post(Operation::ClusterBarrier { arrival, waits }, site);
        Then::Wait
    });
}

#[track_caller]
pub(crate) fn map_to_block(address: u32, rank: u32) -> u32 {
    step(|machine, site| machine.map_to_block(address, rank, site)).unwrap_or(remote::NOWHERE)
}

#[track_caller]
pub(crate) fn load_cluster<T: Word>(address: u32) -> T {
    step(|machine, site| {
        machine.counts.shared += 1;
        machine.remote(Access::Read, address, T::BYTES, site).map(|bytes| T::from_bytes(bytes))
    })
    .unwrap_or_else(zero)
}

#[track_caller]
pub(crate) fn store_cluster<T: Word>(address: u32, value: T) {
    step(|machine, site| {
        machine.counts.shared += 1;
        machine.remote(Access::Write, address, T::BYTES, site).map(|bytes| value.to_bytes(bytes))
    });
}

#[track_caller]
pub(crate) fn load_global<T: Word>(address: u64) -> T {
    step(|machine, site| {
        machine.counts.global += 1;
        machine.load_global(address, site)
    })
    .unwrap_or_else(zero)
}

#[track_caller]
pub(crate) fn store_global<T: Word>(address: u64, value: T) {
    step(|machine, site| {
        machine.counts.global += 1;
        machine.store_global(address, value, site)
    });
}

#[track_caller]
pub(crate) fn load_shared<T: Word>(address: u32) -> T {
    step(|machine, site| {
        machine.counts.shared += 1;
        machine.load_shared(address, site)
    })
    .unwrap_or_else(zero)
}

#[track_caller]
pub(crate) fn store_shared<T: Word>(address: u32, value: T) {
    step(|machine, site| {
        machine.counts.shared += 1;
        machine.store_shared(address, value, site)
    });
}

#[track_caller]
pub(crate) fn copy_async_16(to: u32, from: u64, valid: bool) {
    step(|machine, site| {
        machine.counts.copies += 1;
        machine.copy_start(to, valid.then_some(from), site)
    });
}

#[track_caller]
pub(crate) fn copy_commit() {
    synchronise(SyncKind::CopyCommit, |machine, _| {
        machine.copy_commit();
        Then::Go(())
    });
}

#[track_caller]
pub(crate) fn copy_wait(pending: u32) {
    synchronise(SyncKind::CopyWait, |machine, _| {
        machine.copy_wait(pending);
        Then::Go(())
    });
}

#[track_caller]
pub(crate) fn grid_wait() {
    synchronise(SyncKind::GridWait, |machine, _| {
        machine.grid_wait();
        Then::Go(())
    });
}

#[track_caller]
pub(crate) fn mbarrier_init(address: u32, count: u32) {
    step(|machine, site| machine.mbarrier_init(address, count, site));
}

#[track_caller]
pub(crate) fn mbarrier_inval(address: u32) {
    step(|machine, site| machine.mbarrier_inval(address, site));
}

#[track_caller]
pub(crate) fn mbarrier_arrive(address: u32, expected_bytes: u32) {
    synchronise(SyncKind::MbarrierArrive, |machine, site| {
        machine.mbarrier_arrive(address, expected_bytes, site);
        Then::Go(())
    });
}

#[track_caller]
pub(crate) fn mbarrier_wait(address: u32, parity: u32) {
    synchronise(SyncKind::MbarrierWait, |machine, site| {
        if machine.mbarrier_wait(address, parity, site) { Then::Go(()) } else { Then::Wait }
    });
}

#[track_caller]
pub(crate) fn fence_mbarrier_init() {
    synchronise(SyncKind::MbarrierInitFence, |machine, _| {
        machine.fence_mbarrier_init();
        Then::Go(())
    });
}

#[track_caller]
pub(crate) fn fence_proxy_async() {
    synchronise(SyncKind::ProxyFence, |machine, _| {
        let thread = usize::from(machine.current);
        machine.clocks[thread].fence(thread);
        Then::Go(())
    });
}

#[track_caller]
pub(crate) fn copy_bulk(to: u32, from: u64, bytes: u32, mbarrier: u32) {
    step(|machine, site| {
        machine.counts.copies += 1;
        machine.copy_bulk(to, from, bytes, mbarrier, site)
    });
}

#[track_caller]
pub(crate) fn ldmatrix_x4(row: u32, transposed: bool) -> [u32; 4] {
    collective(Operation::LdMatrix { row, matrices: 4, transposed })
}

#[track_caller]
pub(crate) fn ldmatrix_x2(row: u32, transposed: bool) -> [u32; 2] {
    let [low, high, ..] = collective(Operation::LdMatrix { row, matrices: 2, transposed });
    [low, high]
}

#[track_caller]
pub(crate) fn async_matrices(row: u32, transposed: bool, operand: [u32; 3]) -> [u32; 2] {
    let [low, high, ..] = collective(Operation::AsyncMatrices { row, transposed, operand });
    [low, high]
}

#[track_caller]
pub(crate) fn mma_m16n8k16(item: MmaItem, accumulator: [f32; 4], a: [u32; 4], b: [u32; 2]) -> [f32; 4] {
    collective(Operation::Mma { item, accumulator, a, b }).map(f32::from_bits)
}

#[track_caller]
pub(crate) fn shared_max_i32(address: u32, value: i32) {
    step(|machine, site| {
        machine.counts.shared += 1;
        machine.update_shared(address, site, |before: i32| before.max(value))
    });
}

#[track_caller]
pub(crate) fn shared_add_u32(address: u32, value: u32) -> u32 {
    step(|machine, site| {
        machine.counts.shared += 1;
        machine.update_shared(address, site, |before: u32| before.wrapping_add(value))
    })
    .unwrap_or_else(zero)
}

#[track_caller]
pub(crate) fn cluster_add_u32(address: u32, value: u32) {
    step(|machine, site| {
        machine.counts.shared += 1;
        let bytes = machine.remote(Access::Atomic, address, u32::BYTES, site)?;
        u32::from_bytes(bytes).wrapping_add(value).to_bytes(bytes);
        Some(())
    });
}

#[track_caller]
pub(crate) fn global_add_acq_rel_u32(address: u64, value: u32) -> u32 {
    let location = Location::caller();
    step(|machine, site| {
        machine.counts.global += 1;
        let before = machine.update_global(address, site, |before: u32| before.wrapping_add(value))?;
        if machine.sites.synchronises(SyncKind::AtomicOrder, location) {
            machine.acquire_release(address);
        }
        Some(before)
    })
    .unwrap_or_else(zero)
}

#[track_caller]
pub(crate) fn global_max_u64(address: u64, value: u64) {
    step(|machine, site| {
        machine.counts.global += 1;
        machine.update_global(address, site, |before: u64| before.max(value))
    });
}

/// What an operation returns that cannot be performed; it has been reported.
fn zero<T: Word>() -> T {
    T::from_bytes(&[0; 16][..T::BYTES])
}
