//! The race detector against an oracle that keeps every access and compares them all.
//!
//! The oracle follows one full vector clock for each thread. A kernel has a race if two of its accesses overlap, are
//! not both reads and not both atomic, and neither happened before the other. The executor must report exactly
//! the random kernels that have one.

#[path = "../common/mod.rs"]
mod common;

mod bulk;
mod cluster;
mod many_blocks;
mod one_block;

use dustin_kernels::executor::{Access, Fault, Report, Trace};

/// Rounds of a random kernel.
const ROUNDS: usize = 6;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u32) -> u32 {
        (self.next() % u64::from(end)) as u32
    }
}

/// An access to bytes that every thread can reach.
#[derive(Clone, Copy, Debug)]
struct Event {
    /// Thread, counted over all blocks.
    thread: u32,
    access: Access,
    offset: u32,
    bytes: u32,
}

/// One clock for each thread, with a component for each thread.
struct Oracle {
    clocks: Vec<Vec<u32>>,
    past: Vec<(Event, Vec<u32>)>,
}

impl Oracle {
    fn new(threads: u32) -> Self {
        let clock = |thread| (0..threads).map(|other| u32::from(thread == other)).collect();
        Self { clocks: (0..threads).map(clock).collect(), past: Vec::new() }
    }

    fn access(&mut self, event: Event) {
        self.past.push((event, self.clocks[event.thread as usize].clone()));
    }

    /// A barrier of `members`.
    fn meet(&mut self, members: &[u32]) {
        let mut joined = vec![0; self.clocks.len()];
        for &member in members {
            raise(&mut joined, &self.clocks[member as usize]);
        }
        for &member in members {
            let clock = &mut self.clocks[member as usize];
            clock.clone_from(&joined);
            clock[member as usize] += 1;
        }
    }

    /// An acquire-release operation of `thread` on a variable at which `released` has been released.
    fn acquire_release(&mut self, thread: u32, released: &mut [u32]) {
        let clock = &mut self.clocks[thread as usize];
        raise(clock, released);
        raise(released, clock);
        clock[thread as usize] += 1;
    }

    /// Whether two accesses race.
    fn race(&self) -> bool {
        let before = |(a, clock): &(Event, Vec<u32>), (_, other): &(Event, Vec<u32>)| {
            other[a.thread as usize] >= clock[a.thread as usize]
        };
        let races = |x: &(Event, Vec<u32>), y: &(Event, Vec<u32>)| {
            let (a, b) = (x.0, y.0);
            let overlap = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
            let conflict = a.access != b.access || a.access == Access::Write;
            a.thread != b.thread && overlap && conflict && !before(x, y) && !before(y, x)
        };
        self.past.iter().enumerate().any(|(i, x)| self.past[..i].iter().any(|y| races(x, y)))
    }
}

fn raise(clock: &mut [u32], to: &[u32]) {
    for (component, &other) in clock.iter_mut().zip(to) {
        *component = (*component).max(other);
    }
}

/// Whether a run reports races. It must report nothing else.
fn reports_races(result: Result<Trace, Report>) -> bool {
    reports(result, |fault| matches!(fault, Fault::Race { .. }))
}

/// Whether a run reports faults that `expected` accepts. It must report nothing else.
fn reports(result: Result<Trace, Report>, expected: impl Fn(&Fault) -> bool) -> bool {
    let Err(report) = result else { return false };
    let all = report.findings.iter().all(|finding| expected(&finding.fault));
    assert!(all, "another fault is reported:\n{report}");
    true
}

/// Compares executor and oracle on `kernels` random kernels. Both answers must be common, or that says little.
fn compare<K: std::fmt::Debug>(
    kernels: u32,
    random_kernel: impl Fn(&mut Random) -> K,
    oracle: impl Fn(&K) -> bool,
    executor: impl Fn(&K) -> bool,
) {
    let mut racing = 0;
    for seed in 0..kernels {
        let kernel = random_kernel(&mut Random(u64::from(seed)));
        let expected = oracle(&kernel);
        assert_eq!(executor(&kernel), expected, "seed {seed}: {kernel:#?}");
        racing += u32::from(expected);
    }
    assert!((kernels / 5..kernels / 5 * 4).contains(&racing), "{racing} of {kernels} kernels race");
}
