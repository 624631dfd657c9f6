//! Products of warpgroups, whose operands come from shared memory through the asynchronous proxy.
//!
//! They are performed warp by warp, as `mma`, with fragments that are read as `ldmatrix` reads, ordered for every lane. Beyond
//! that is followed:
//!
//! * Between a write of an operand through the generic proxy and the product there must be a proxy fence, as before a
//!   [bulk copy](super::bulk). A bulk copy's completion is one.
//! * The four warps of a group must have multiplied by the same operands when the block ends.
//!
//! What is not followed: that the group's warps come to a product together. The early ones wait for the others, which a barrier
//! between may keep from ending.

use super::{
    collective::Operation,
    machine::Machine,
    report::{Access, Fault, Place},
    sites::SiteId,
    waiting::Wait,
};
use crate::simt::WARP;

/// Warps in a group.
const GROUP: usize = 4;
/// Bytes of a row of a matrix.
const ROW: usize = 16;
/// Rows of the two matrices of a fragment.
const ROWS: usize = 16;

/// The matrices that a warp has multiplied by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Products {
    count: u32,
    /// A digest of which they were.
    digest: u64,
    /// Where the last one was.
    site: Option<SiteId>,
}

impl Machine {
    /// Notes that `warp` multiplies by two matrices of `operand`, and reports an address or a distance that no descriptor can hold.
    pub(super) fn note_product(&mut self, warp: usize, operand: [u32; 3], transposed: bool, site: SiteId) {
        let products = &mut self.barriers.warps[warp].products;
        products.count += 1;
        products.site = Some(site);
        for part in operand.into_iter().chain([u32::from(transposed)]) {
            products.digest =
                (products.digest ^ u64::from(part)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        }
        if let Some(&part) = operand.iter().find(|part| !part.is_multiple_of(ROW as u32)) {
            self.current = (warp * WARP as usize) as u16;
            let place = Place::Shared { address: part };
            self.report(site, Fault::Misaligned { access: Access::Read, place, bytes: ROW });
        }
    }

    /// Reports rows, of those that the lanes from `first` on name, that were written through the generic proxy with no fence
    /// behind.
    pub(super) fn check_fences(&mut self, first: usize, site: SiteId) {
        for thread in first..first + ROWS {
            let Wait::Collective(Operation::AsyncMatrices { row, .. }) = self.threads[thread].wait else {
                continue;
            };
            self.current = thread as u16;
            let Some(start) = self.shared_place(self.rank, Access::Read, row, ROW, site) else { continue };
            let known = &self.clocks[thread].known;
            let shadow = &mut self.shared[self.rank].shadow;
            if let Some(write) = shadow.unfenced(start, |write| known.has_fenced(write)) {
                let (place, other) = (Place::Shared { address: row }, self.party(write));
                self.report(site, Fault::ProxyFence { place, other });
            }
        }
    }

    /// Reports groups whose warps have not multiplied by the same matrices.
    pub(super) fn check_warpgroups(&mut self) {
        let warps = self.block_threads / WARP as usize;
        for block in 0..self.barriers.warps.len() / warps {
            for first in (0..warps).step_by(GROUP) {
                let products: [Products; GROUP] = std::array::from_fn(|warp| {
                    let number = block * warps + first + warp;
                    if first + warp < warps {
                        self.barriers.warps[number].products
                    } else {
                        Products::default()
                    }
                });
                let same =
                    |other: &Products| (other.count, other.digest) == (products[0].count, products[0].digest);
                if !products.iter().all(same) {
                    let source = products.iter().find_map(|products| products.site);
                    let source = source.map(|site| self.source(site));
                    let thread = (block * warps + first) * WARP as usize;
                    self.report_at(
                        thread as u16,
                        source,
                        Fault::Warpgroup { matrices: products.map(|products| products.count) },
                    );
                }
            }
        }
    }
}
