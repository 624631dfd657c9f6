//! Faults of single accesses, each planted in a small kernel beside a twin without it.

mod common;

use common::{SHARED_BYTES, clean, found, launch, line, run};
use dustin_kernels::{
    executor::{self, Access, Fault, Launch, Memory, Options, Place},
    simt::{Global, Shared, barrier, cp_async, ldmatrix, shuffle, thread},
};

/// Every thread of two warps loads item `thread + shift` of an input of 64 words.
fn load_with_shift(shift: i64) -> Result<executor::Trace, executor::Report> {
    let mut memory = Memory::new();
    let input = Global::<u32>::at(memory.input(&[7_u32; 64]));
    launch(1, 64, &mut memory, Options::default(), || {
        let index = i64::from(thread::thread_index()) + shift;
        // SAFETY: in bounds for a shift of 0; otherwise the fault under test.
        let value = unsafe { input.load(index as u64) };
        assert!(value == 7 || shift != 0);
    })
}

#[test]
fn a_global_load_in_bounds_is_clean() {
    clean(load_with_shift(0));
}

#[test]
fn a_global_load_behind_the_end_is_reported() {
    let finding = found(load_with_shift(1), |fault| matches!(fault, Fault::OutOfBounds { .. }));
    assert_eq!(finding.party.thread, 63, "{finding}");
    assert!(
        matches!(
            finding.fault,
            Fault::OutOfBounds {
                access: Access::Read,
                place: Place::Global { offset: 256, .. },
                bytes: 4,
                size: 256
            }
        ),
        "{finding}"
    );
}

#[test]
fn a_global_load_before_the_start_is_reported() {
    let finding = found(load_with_shift(-1), |fault| matches!(fault, Fault::OutOfBounds { .. }));
    assert_eq!(finding.party.thread, 0, "{finding}");
}

#[test]
fn a_global_load_from_a_wild_address_is_reported() {
    for shift in [1 << 34, -(1 << 34), 1 << 50, i64::MIN / 4] {
        found(load_with_shift(shift), |fault| matches!(fault, Fault::OutOfBounds { .. }));
    }
}

#[test]
fn a_load_from_the_null_address_is_reported() {
    let result = run(32, || {
        // SAFETY: none; the fault under test.
        let _ = unsafe { Global::<u32>::NULL.load(0) };
    });
    found(result, |fault| matches!(fault, Fault::OutOfBounds { .. }));
}

#[test]
fn items_beyond_two_to_the_31_are_reached_and_bounded() {
    let items = (1_u64 << 31) + 4096;
    let mut memory = Memory::new();
    let at = memory.sparse_input::<u16>(items as usize);
    let cache = Global::<u16>::at(at);
    memory.write(cache.item(items - 32), &[9_u16; 32]);
    let load = |memory: &mut Memory, last: u64| {
        launch(1, 32, memory, Options::default(), || {
            // SAFETY: in bounds for the last item's own index; otherwise the fault under test.
            let value = unsafe { cache.load(last - u64::from(thread::thread_index())) };
            assert!(last >= items || value == 9);
        })
    };
    clean(load(&mut memory, items - 1));
    found(load(&mut memory, items), |fault| matches!(fault, Fault::OutOfBounds { .. }));
}

#[test]
fn shared_accesses_out_of_bounds_are_reported() {
    let last = SHARED_BYTES / 4 - 1;
    let store = |index: u32| {
        run(32, move || {
            if thread::thread_index() == 5 {
                // SAFETY: in bounds for `last`; otherwise the fault under test.
                unsafe { Shared::<u32>::at(0).store(index, 1) };
            }
        })
    };
    clean(store(last));
    let finding = found(store(last + 1), |fault| {
        matches!(fault, Fault::OutOfBounds { access: Access::Write, place: Place::Shared { .. }, .. })
    });
    assert_eq!(finding.party.thread, 5, "{finding}");
}

#[test]
fn a_report_names_kernel_block_thread_and_line() {
    let mut memory = Memory::new();
    let output = Global::<u32>::at(memory.output(32, 0_u32));
    let result = launch(3, 32, &mut memory, Options::default(), || {
        if thread::block_x() == 2 && thread::lane() == 9 {
            // SAFETY: none; the fault under test.
            unsafe { output.store(40, 1) };
        }
    });
    let finding = found(result, |fault| matches!(fault, Fault::OutOfBounds { .. }));
    let sentence = finding.to_string();
    assert!(sentence.starts_with("kernel planted, block (2, 0, 0), thread 9, "), "{sentence}");
    assert!(sentence.contains(&format!("executor_access.rs:{}:", line!() - 6)), "{sentence}");
}

#[test]
fn misaligned_accesses_are_reported() {
    let mut memory = Memory::new();
    let words = memory.input(&[0_u32; 16]);
    for (shift, wanted) in [(0, true), (4, false), (8, false)] {
        let result = launch(1, 32, &mut memory, Options::default(), || {
            // SAFETY: aligned for a shift of 0; otherwise the fault under test.
            let _ = unsafe { Global::<[u32; 4]>::at(words + shift).load(0) };
        });
        if wanted {
            clean(result);
        } else {
            found(result, |fault| matches!(fault, Fault::Misaligned { bytes: 16, .. }));
        }
    }
    let store = |offset: u32| {
        run(32, move || {
            if thread::lane() == 0 {
                // SAFETY: aligned for an offset of 8; otherwise the fault under test.
                unsafe { Shared::<u64>::at(offset).store(0, 1) };
            }
        })
    };
    clean(store(8));
    found(store(4), |fault| matches!(fault, Fault::Misaligned { access: Access::Write, bytes: 8, .. }));
}

#[test]
fn misaligned_rows_of_ldmatrix_are_reported() {
    let load = |stride: u32| {
        run(32, move || {
            let items = Shared::<[u32; 4]>::at(0);
            // SAFETY: 64 items of 16 bytes; rows at odd strides are the fault under test.
            unsafe {
                items.store(thread::lane(), [0; 4]);
                items.store(32 + thread::lane(), [0; 4]);
                barrier::block_sync();
                let _ = ldmatrix::load_x4(items.byte(thread::lane() * stride));
            }
        })
    };
    clean(load(16));
    found(load(24), |fault| matches!(fault, Fault::Misaligned { access: Access::Read, bytes: 16, .. }));
}

#[test]
fn shared_memory_that_nobody_wrote_is_reported() {
    let read = |written: u32| {
        run(64, move || {
            let words = Shared::<u32>::at(0);
            let index = thread::thread_index();
            // SAFETY: 64 words in 1024 bytes.
            unsafe {
                if index < written {
                    words.store(index, index);
                }
                barrier::block_sync();
                let _ = words.load(63 - index);
            }
        })
    };
    clean(read(64));
    let finding = found(read(63), |fault| {
        matches!(fault, Fault::Unwritten { place: Place::Shared { address: 252 }, .. })
    });
    assert_eq!(finding.party.thread, 0, "{finding}");
}

#[test]
fn half_a_word_that_nobody_wrote_is_reported() {
    let result = run(32, || {
        if thread::lane() == 0 {
            // SAFETY: the first word of shared memory.
            unsafe {
                Shared::<u16>::at(0).store(0, 1);
                let _ = Shared::<u32>::at(0).load(0);
            }
        }
    });
    found(result, |fault| matches!(fault, Fault::Unwritten { .. }));
}

#[test]
fn shared_memory_of_another_block_counts_as_unwritten() {
    let result = launch(2, 32, &mut Memory::new(), Options::default(), || {
        let words = Shared::<u32>::at(0);
        // SAFETY: 32 words in 1024 bytes.
        unsafe {
            if thread::block_x() == 0 {
                words.store(thread::lane(), 1);
            }
            let _ = words.load(thread::lane());
        }
    });
    let finding = found(result, |fault| matches!(fault, Fault::Unwritten { .. }));
    assert_eq!(finding.party.block, [1, 0, 0], "{finding}");
}

#[test]
fn outputs_are_read_only_where_a_kernel_has_written() {
    let mut memory = Memory::new();
    let at = memory.output(64, f32::NAN);
    let output = Global::<f32>::at(at);
    let read = |memory: &mut Memory, shift: u64| {
        launch(1, 32, memory, Options::default(), || {
            let index = u64::from(thread::lane());
            // SAFETY: 64 items.
            unsafe {
                output.store(index, 1.0);
                let _ = output.load(index + shift);
            }
        })
    };
    clean(read(&mut memory, 0));
    found(read(&mut memory, 32), |fault| {
        matches!(fault, Fault::Unwritten { place: Place::Global { .. }, .. })
    });
    memory.write(at, &[0.0_f32; 64]);
    clean(read(&mut memory, 32));
}

#[test]
fn writes_to_an_input_are_reported_and_not_performed() {
    let mut memory = Memory::new();
    let at = memory.input(&[5_u32; 32]);
    let result = launch(1, 32, &mut memory, Options::default(), || {
        // SAFETY: 32 items; writing them is the fault under test.
        unsafe { Global::<u32>::at(at).store(u64::from(thread::lane()), 6) };
    });
    let finding = found(result, |fault| matches!(fault, Fault::ReadOnly { .. }));
    assert_eq!(finding.times, 32);
    assert_eq!(memory.read::<u32>(at, 32), [5; 32]);
}

#[test]
fn the_source_of_a_copy_is_checked_when_it_is_valid() {
    let mut memory = Memory::new();
    let input = Global::<u16>::at(memory.input(&[3_u16; 64]));
    let copy = |memory: &mut Memory, item: u64, valid: bool| {
        launch(1, 32, memory, Options::default(), || {
            if thread::lane() == 0 {
                // SAFETY: items 0 to 63 exist; others are the fault under test unless the copy is invalid.
                unsafe { cp_async::copy_16(0, input.item(item), valid) };
                cp_async::commit();
                cp_async::wait::<0>();
                // SAFETY: the first 16 bytes of shared memory.
                let got = unsafe { Shared::<u16>::at(0).load(7) };
                assert_eq!(got, if valid { 3 } else { 0 });
            }
        })
    };
    clean(copy(&mut memory, 56, true));
    clean(copy(&mut memory, 1000, false));
    let report = copy(&mut memory, 64, true).expect_err("the source lies behind the end");
    assert!(
        matches!(report.findings[0].fault, Fault::OutOfBounds { access: Access::Read, bytes: 16, .. }),
        "{report}"
    );
    let report = copy(&mut memory, 4, true).map(drop);
    let report = report.expect_err("the source is aligned to 8 bytes only");
    assert!(
        matches!(report.findings[0].fault, Fault::Misaligned { access: Access::Read, bytes: 16, .. }),
        "{report}"
    );
}

#[test]
fn a_panic_becomes_a_finding_that_names_the_lane() {
    let sum = |big: u32| {
        run(64, move || {
            let index = thread::thread_index();
            let limit = if index == 37 { big } else { 0 };
            assert!(limit < 100, "thread over the limit of {}", 100);
        })
    };
    clean(sum(99));
    let finding = found(sum(100), |fault| matches!(fault, Fault::Panic { .. }));
    assert_eq!(finding.party.thread, 37, "{finding}");
    assert_eq!(line(&finding), line!() - 6);
    assert!(finding.to_string().ends_with("panics: thread over the limit of 100"), "{finding}");
}

#[test]
fn a_kernel_that_runs_away_is_stopped() {
    let mut memory = Memory::new();
    let flag = Global::<u32>::at(memory.input(&[0_u32]));
    let options = Options { max_operations: 10_000, ..Options::default() };
    let spin = |memory: &mut Memory, until: u32| {
        launch(1, 32, memory, options, || {
            // SAFETY: one item.
            while unsafe { flag.load(0) } != until {}
        })
    };
    clean(spin(&mut memory, 0));
    found(spin(&mut memory, 1), |fault| matches!(fault, Fault::Runaway { limit: 10_000 }));
}

#[test]
fn a_kernel_that_synchronises_for_ever_is_stopped() {
    let options = Options { max_operations: 10_000, ..Options::default() };
    let operations: [(&str, fn()); 5] = [
        ("a block barrier", barrier::block_sync),
        ("a warp barrier", barrier::warp_sync),
        ("a shuffle", || {
            let _ = shuffle::shuffle_xor(1, 1);
        }),
        ("a commit", cp_async::commit),
        ("a wait", cp_async::wait::<0>),
    ];
    for (name, operation) in operations {
        let result = launch(1, 64, &mut Memory::new(), options, || {
            loop {
                operation();
            }
        });
        let finding = found(result, |fault| matches!(fault, Fault::Runaway { limit: 10_000 }));
        assert_eq!(finding.times, 1, "{name}: {finding}");
        // As many as the limit allows, in each block anew.
        let in_turn = |times: u32| {
            launch(2, 64, &mut Memory::new(), Options { max_operations: 64 * 5, ..options }, || {
                for _ in 0..times {
                    operation();
                }
            })
        };
        clean(in_turn(5));
        found(in_turn(6), |fault| matches!(fault, Fault::Runaway { limit: 320 }));
    }
}

#[test]
fn a_run_ends_after_so_many_findings() {
    let options = Options { max_findings: 1, ..Options::default() };
    let result = launch(1, 32, &mut Memory::new(), options, || {
        let words = Shared::<u32>::at(0);
        // SAFETY: the first words of shared memory; nobody has written them, the fault under test.
        unsafe {
            let _ = words.load(0);
            let _ = words.load(1);
        }
    });
    assert_eq!(result.expect_err("two findings").findings.len(), 1);
}

#[test]
fn impossible_launches_are_refused() {
    let good = Launch {
        name: "refused",
        grid: [1, 1, 1],
        cluster: 1,
        overlaps: false,
        threads: 32,
        shared_bytes: 0,
    };
    let cases = [
        (Launch { threads: 48, ..good }, "threads"),
        (Launch { threads: 0, ..good }, "threads"),
        (Launch { threads: 1056, ..good }, "threads"),
        (Launch { shared_bytes: 227 * 1024 + 1, ..good }, "shared_bytes"),
        (Launch { grid: [0, 1, 1], ..good }, "grid[0]"),
        (Launch { grid: [1, 65536, 1], ..good }, "grid[1]"),
        (Launch { grid: [1, 1, 0], ..good }, "grid[2]"),
        (Launch { cluster: 0, ..good }, "cluster"),
        (Launch { cluster: 2, ..good }, "cluster"),
        (Launch { grid: [17, 1, 1], cluster: 17, ..good }, "cluster"),
    ];
    let mut memory = Memory::new();
    clean(executor::run(&good, &mut memory, &Options::default(), || {}));
    for (launch, wrong) in cases {
        let result = executor::run(&launch, &mut memory, &Options::default(), || unreachable!());
        found(result, |fault| matches!(fault, Fault::Launch { field, .. } if *field == wrong));
    }
}

#[test]
fn memory_survives_a_run_with_findings() {
    let mut memory = Memory::new();
    let at = memory.output(32, 0_u32);
    let result = launch(1, 32, &mut memory, Options::default(), || {
        // SAFETY: 32 items.
        unsafe { Global::<u32>::at(at).store(u64::from(thread::lane()), 8) };
        panic!("after the store");
    });
    found(result, |fault| matches!(fault, Fault::Panic { .. }));
    assert_eq!(memory.read::<u32>(at, 1), [8]);
}
