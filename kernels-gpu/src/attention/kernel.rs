//! kernel
use super::params::Params;
use crate::simt::Element;

/// # Safety
/// Stub.
pub unsafe fn attention<
    E: Element,
    const D: usize,
    const W: usize,
    const M: usize,
    const C: usize,
    const S: usize,
    const DT: usize,
>(
    params: &Params,
) {
    let _ = params;
}
