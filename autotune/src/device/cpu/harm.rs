//! Harm that a candidate may do to the process that it runs in.

use std::{hint::black_box, process, ptr, thread, time::Duration};

use crate::worker::Harm;

/// Does it. Returns if the process lives on.
pub(super) fn suffer(harm: Harm) {
    match harm {
        Harm::IllegalAccess => {
            let nowhere = ptr::without_provenance_mut::<u8>(black_box(16));
            // SAFETY: there is none, on purpose: the first page is never mapped, and the system ends the process.
            unsafe { nowhere.write_volatile(1) };
        }
        Harm::Hang => thread::sleep(Duration::from_secs(30)),
        Harm::OutOfMemory => {
            let mut held = Vec::<u8>::new();
            // More than any machine has: the allocation fails, and that ends the process.
            held.reserve_exact(black_box(isize::MAX as usize));
            black_box(held);
        }
        Harm::Crash => process::abort(),
        Harm::None | Harm::Wrong | Harm::Nan | Harm::BadTime => {}
    }
}
