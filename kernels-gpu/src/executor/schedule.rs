//! The scheduler: runs the lanes of a cluster until all have ended or none can go on.

use std::io;

use super::{
    lane::{Lane, Step},
    machine,
    report::Fault,
    waiting::Wait,
};
use crate::simt::WARP;

/// Runs the cluster whose first block is at `block`, `threads` threads in all; false if the launch is to end.
///
/// Warps run in order, each until all its lanes wait for other warps. The order matters to no finding, since races
/// are judged by what orders two accesses and not by which came first.
pub(super) fn run(block: [u32; 3], threads: u32, body: &dyn Fn()) -> io::Result<bool> {
    machine::with(|machine| machine.begin_cluster(block));
    let mut lanes = (0..threads).map(|_| Lane::new(body)).collect::<io::Result<Vec<_>>>()?;
    loop {
        let mut progress = false;
        for warp in 0..(threads / WARP) as usize {
            let mut next = machine::with(|machine| {
                machine.rank = warp * WARP as usize / machine.block_threads;
                machine.next(warp)
            });
            while let Next::Resume(thread) = next {
                progress = true;
                let step = lanes[thread].resume();
                next = machine::with(|machine| {
                    machine.settle(thread, step);
                    machine.next(warp)
                });
            }
            if let Next::Stop = next {
                return Ok(false);
            }
        }
        if !progress {
            break;
        }
    }
    lanes.into_iter().for_each(Lane::retire);
    Ok(machine::with(|machine| {
        machine.check_progress();
        if !machine.stopped {
            machine.check_remote_lives();
            machine.check_bulk_copies();
            machine.check_warpgroups();
            machine.check_transactions();
        }
        !machine.stopped
    }))
}

/// What a warp can do next.
enum Next {
    /// Its thread of this number, counted in the cluster, is to be resumed.
    Resume(usize),
    /// Nothing, before another warp has done something.
    Wait,
    /// The launch is to end.
    Stop,
}

impl machine::Machine {
    /// Chooses the next lane of warp `number` to run, after performing what all its lanes have posted.
    fn next(&mut self, number: usize) -> Next {
        if self.barriers.warps[number].posted == u32::MAX {
            self.perform(number);
        }
        if self.stopped {
            return Next::Stop;
        }
        let ready = &mut self.barriers.warps[number].ready;
        if *ready == 0 {
            return Next::Wait;
        }
        let lane = ready.trailing_zeros();
        *ready &= *ready - 1;
        let thread = number * WARP as usize + lane as usize;
        self.current = thread as u16;
        Next::Resume(thread)
    }

    /// Notes what became of a thread that was resumed.
    fn settle(&mut self, thread: usize, step: Step) {
        match step {
            Step::Suspended => {}
            Step::Ended => {
                self.threads[thread].wait = Wait::End;
                self.copies_end();
                self.cluster.thread_ends(self.rank);
            }
            Step::Panicked(message, source) => {
                self.threads[thread].wait = Wait::End;
                self.report_at(thread as u16, source, Fault::Panic { message });
                self.stopped = true;
            }
        }
    }
}
