//! Launches for the executor's tests.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of this module")]

use dustin_kernels::{
    executor::{self, Access, Fault, Finding, Launch, Memory, Options, Report, Site, SyncKind, Trace},
    simt::{Shared, barrier, thread},
};

/// Shared memory of every test's blocks, in bytes.
pub const SHARED_BYTES: u32 = 1024;

/// Runs `body` on a grid of `blocks` blocks of `threads` threads.
pub fn launch(
    blocks: u32,
    threads: u32,
    memory: &mut Memory,
    options: Options,
    body: impl Fn(),
) -> Result<Trace, Report> {
    launch_grid([blocks, 1, threads], false, memory, options, body)
}

/// As [`launch`], where the launch may overlap the one before.
pub fn launch_overlapping(
    blocks: u32,
    threads: u32,
    memory: &mut Memory,
    options: Options,
    body: impl Fn(),
) -> Result<Trace, Report> {
    launch_grid([blocks, 1, threads], true, memory, options, body)
}

/// Runs `body` on a grid of `clusters` clusters of `blocks` blocks of `threads` threads.
pub fn launch_clusters(
    shape: [u32; 3],
    memory: &mut Memory,
    options: Options,
    body: impl Fn(),
) -> Result<Trace, Report> {
    launch_grid(shape, false, memory, options, body)
}

fn launch_grid(
    [clusters, blocks, threads]: [u32; 3],
    overlaps: bool,
    memory: &mut Memory,
    options: Options,
    body: impl Fn(),
) -> Result<Trace, Report> {
    let grid = [clusters * blocks, 1, 1];
    let launch =
        Launch { name: "planted", grid, cluster: blocks, overlaps, threads, shared_bytes: SHARED_BYTES };
    executor::run(&launch, memory, &options, body)
}

/// Runs one block of `threads` threads without global memory.
pub fn run(threads: u32, body: impl Fn()) -> Result<Trace, Report> {
    launch(1, threads, &mut Memory::new(), Options::default(), body)
}

/// The trace of a run that must be clean.
#[track_caller]
pub fn clean(result: Result<Trace, Report>) -> Trace {
    result.unwrap_or_else(|report| panic!("a clean kernel is reported:\n{report}"))
}

/// The first finding, which must name a fault that `expected` accepts, and must be all that was found.
#[track_caller]
pub fn found(result: Result<Trace, Report>, expected: impl Fn(&Fault) -> bool) -> Finding {
    let Err(report) = result else { panic!("the planted fault is not reported") };
    assert!(
        report.findings.iter().all(|finding| expected(&finding.fault)),
        "another fault is reported:\n{report}"
    );
    report.findings[0].clone()
}

/// Two warps read the first word of shared memory, and the last thread overwrites it: clean with a barrier between, and
/// a race of a write with an earlier read without.
#[track_caller]
pub fn reuse_needs_order(memory: &mut Memory, overwrite: impl Fn()) {
    let mut reuse = |ordered: bool| {
        // SAFETY: the first word of shared memory.
        launch(1, 64, memory, Options::default(), || unsafe {
            let word = Shared::<u32>::at(0);
            if thread::thread_index() == 0 {
                word.store(0, 1);
            }
            barrier::block_sync();
            let _ = word.load(0);
            if ordered {
                barrier::block_sync();
            }
            if thread::thread_index() == 63 {
                overwrite();
            }
        })
    };
    clean(reuse(true));
    let finding = found(reuse(false), |fault| matches!(fault, Fault::Race { .. }));
    assert!(
        matches!(finding.fault, Fault::Race { access: Access::Write, earlier: Access::Read, .. }),
        "{finding}"
    );
}

/// The finding's source line.
#[track_caller]
pub fn line(finding: &Finding) -> u32 {
    finding.party.source.as_ref().expect("a finding with a source location").line
}

/// Options of a run that drops `site`.
pub fn dropping(site: Site) -> Options {
    Options { dropped: Some(site), ..Options::default() }
}

/// The sites of one kind that a clean run has met.
pub fn sites(trace: &Trace, kind: SyncKind) -> Vec<Site> {
    trace.syncs.iter().map(|&(site, _)| site).filter(|site| site.kind == kind).collect()
}
