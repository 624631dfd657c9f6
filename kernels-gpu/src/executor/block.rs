//! The scheduler: runs the lanes of a block until all have ended or none can go on.

use std::io;

use super::{
    lane::{Lane, Step},
    machine,
    report::Fault,
    waiting::Wait,
};
use crate::simt::WARP;

/// Runs one block of `threads` threads; false if the launch is to end.
///
/// Warps run in order, each until all its lanes wait for other warps. The order matters to no finding, since races
/// are judged by what orders two accesses and not by which came first.
pub(super) fn run(block: [u32; 3], threads: u32, body: &dyn Fn()) -> io::Result<bool> {
    machine::with(|machine| machine.begin_block(block, threads as usize));
    let mut lanes = (0..threads).map(|_| Lane::new(body)).collect::<io::Result<Vec<_>>>()?;
    let warps = (threads / WARP) as usize;
    loop {
        let mut progress = false;
        for warp in 0..warps {
            while let Some(work) = machine::with(|machine| next(machine, warp)) {
                progress = true;
                if let Work::Resume(thread) = work {
                    let step = lanes[thread].resume();
                    machine::with(|machine| machine.settle(thread, step));
                }
                if machine::with(|machine| machine.stopped) {
                    return Ok(false);
                }
            }
        }
        if !progress {
            break;
        }
    }
    lanes.into_iter().for_each(Lane::retire);
    Ok(machine::with(|machine| {
        machine.check_progress();
        !machine.stopped
    }))
}

/// What a warp can do next.
enum Work {
    /// Its thread of this number is to be resumed.
    Resume(usize),
    /// It has performed an operation that all its lanes had posted.
    Performed,
}

fn next(machine: &mut machine::Machine, number: usize) -> Option<Work> {
    let warp = &mut machine.barriers.warps[number];
    if warp.ready != 0 {
        let lane = warp.ready.trailing_zeros() as usize;
        warp.ready &= warp.ready - 1;
        let thread = number * WARP as usize + lane;
        machine.current = thread as u16;
        return Some(Work::Resume(thread));
    }
    (warp.posted == u32::MAX).then(|| {
        machine.perform(number);
        Work::Performed
    })
}

impl machine::Machine {
    /// Notes what became of a thread that was resumed.
    fn settle(&mut self, thread: usize, step: Step) {
        match step {
            Step::Suspended => {}
            Step::Ended => {
                self.threads[thread].wait = Wait::End;
                self.copies_end();
            }
            Step::Panicked(message, source) => {
                self.threads[thread].wait = Wait::End;
                self.report_at(thread as u16, source, Fault::Panic { message });
                self.stopped = true;
            }
        }
    }
}
