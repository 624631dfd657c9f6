//! Atomic read-modify-write operations.

#[cfg(not(target_arch = "nvptx64"))]
use crate::executor::ops;

use super::{Global, Remote, Shared};

/// Raises item `index` to at least `value`. Relaxed: orders no other memory.
///
/// # PTX
/// `red.relaxed.cta.shared.max.s32`.
///
/// # Safety
/// The item lies in the block's shared memory, and is accessed meanwhile by atomics alone.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub unsafe fn shared_max(array: Shared<i32>, index: u32, value: i32) {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!("red.relaxed.cta.shared.max.s32 [{a}], {v};",
            a = in(reg32) array.byte(4 * index), v = in(reg32) value, options(nostack));
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::shared_max_i32(array.byte(4 * index), value);
}

/// Adds `value` to item `index`, modulo 2^32. Relaxed: orders no other memory. Atomic for the threads of the block.
///
/// # PTX
/// `red.relaxed.cta.shared.add.u32`.
///
/// # Safety
/// As [`shared_max`]. Other blocks of the cluster do not access the item meanwhile: use [`cluster_add`] where they do.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub unsafe fn shared_add(array: Shared<u32>, index: u32, value: u32) {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!("red.relaxed.cta.shared.add.u32 [{a}], {v};",
            a = in(reg32) array.byte(4 * index), v = in(reg32) value, options(nostack));
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::shared_add_u32(array.byte(4 * index), value);
}

/// [`shared_add`], which returns what stood there before.
///
/// # PTX
/// `atom.relaxed.cta.shared.add.u32`.
///
/// # Safety
/// As [`shared_add`].
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub unsafe fn shared_fetch_add(array: Shared<u32>, index: u32, value: u32) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let before: u32;
        // SAFETY: the caller's promise.
        unsafe {
            core::arch::asm!("atom.relaxed.cta.shared.add.u32 {d}, [{a}], {v};", d = out(reg32) before,
                a = in(reg32) array.byte(4 * index), v = in(reg32) value, options(nostack));
        }
        before
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::shared_add_u32(array.byte(4 * index), value)
}

/// Adds `value` to item `index`, modulo 2^32. Relaxed: orders no other memory. Atomic for the threads of the cluster.
///
/// # PTX
/// `red.relaxed.cluster.shared::cluster.add.u32` (sm_90 and later).
///
/// # Safety
/// The item lies in the shared memory of a block of the cluster, which has started and lives until the operation is
/// performed, and is accessed meanwhile by atomics at the scope of the cluster alone.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub unsafe fn cluster_add(array: Remote<u32>, index: u32, value: u32) {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!("red.relaxed.cluster.shared::cluster.add.u32 [{a}], {v};",
            a = in(reg32) array.byte(4 * index), v = in(reg32) value, options(nostack));
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::cluster_add_u32(array.byte(4 * index), value);
}

/// Adds `value` to item `index` and returns what stood there before. Acquires and releases at the scope of the
/// device: what this thread could see before is seen by whoever reads the new value with the same operation.
///
/// # PTX
/// `atom.acq_rel.gpu.global.add.u32`.
///
/// # Safety
/// The item lies in an allocation that outlives the launch, and is accessed meanwhile by atomics alone.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub unsafe fn fetch_add_acq_rel(array: Global<u32>, index: u64, value: u32) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let before: u32;
        // SAFETY: the caller's promise.
        unsafe {
            core::arch::asm!("atom.acq_rel.gpu.global.add.u32 {d}, [{a}], {v};", d = out(reg32) before,
                a = in(reg64) array.item(index), v = in(reg32) value, options(nostack));
        }
        before
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::global_add_acq_rel_u32(array.item(index), value)
}

/// Raises item `index` to at least `value`. Relaxed: orders no other memory.
///
/// # PTX
/// `red.relaxed.gpu.global.max.u64`.
///
/// # Safety
/// As [`fetch_add_acq_rel`].
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub unsafe fn global_max(array: Global<u64>, index: u64, value: u64) {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!("red.relaxed.gpu.global.max.u64 [{a}], {v};",
            a = in(reg64) array.item(index), v = in(reg64) value, options(nostack));
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::global_max_u64(array.item(index), value);
}
