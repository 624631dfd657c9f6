//! What the vocabulary calls on the host. (Bodies follow.)
#![allow(unused_variables, missing_docs)]
use crate::simt::Word;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MmaItem {
    Bf16,
    F16,
}
#[track_caller]
pub(crate) fn thread_index() -> u32 {
    unimplemented!()
}
#[track_caller]
pub(crate) fn block_index(axis: usize) -> u32 {
    unimplemented!()
}
#[track_caller]
pub(crate) fn grid_size(axis: usize) -> u32 {
    unimplemented!()
}
#[track_caller]
pub(crate) fn block_sync() {
    unimplemented!()
}
#[track_caller]
pub(crate) fn named_sync(id: u32, threads: u32) {
    unimplemented!()
}
#[track_caller]
pub(crate) fn warp_sync() {
    unimplemented!()
}
#[track_caller]
pub(crate) fn shuffle_xor(value: u32, mask: u32) -> u32 {
    unimplemented!()
}
#[track_caller]
pub(crate) fn shuffle_index(value: u32, source: u32) -> u32 {
    unimplemented!()
}
#[track_caller]
pub(crate) fn load_global<T: Word>(address: u64) -> T {
    unimplemented!()
}
#[track_caller]
pub(crate) fn store_global<T: Word>(address: u64, value: T) {
    unimplemented!()
}
#[track_caller]
pub(crate) fn load_shared<T: Word>(address: u32) -> T {
    unimplemented!()
}
#[track_caller]
pub(crate) fn store_shared<T: Word>(address: u32, value: T) {
    unimplemented!()
}
#[track_caller]
pub(crate) fn copy_async_16(to: u32, from: u64, valid: bool) {
    unimplemented!()
}
#[track_caller]
pub(crate) fn copy_commit() {
    unimplemented!()
}
#[track_caller]
pub(crate) fn copy_wait(pending: u32) {
    unimplemented!()
}
#[track_caller]
pub(crate) fn ldmatrix_x4(row: u32, transposed: bool) -> [u32; 4] {
    unimplemented!()
}
#[track_caller]
pub(crate) fn ldmatrix_x2(row: u32, transposed: bool) -> [u32; 2] {
    unimplemented!()
}
#[track_caller]
pub(crate) fn mma_m16n8k16(item: MmaItem, accumulator: [f32; 4], a: [u32; 4], b: [u32; 2]) -> [f32; 4] {
    unimplemented!()
}
#[track_caller]
pub(crate) fn shared_max_i32(address: u32, value: i32) {
    unimplemented!()
}
#[track_caller]
pub(crate) fn global_add_acq_rel_u32(address: u64, value: u32) -> u32 {
    unimplemented!()
}
#[track_caller]
pub(crate) fn global_max_u64(address: u64, value: u64) {
    unimplemented!()
}
