//! Products of warpgroups on the executor: against plain arithmetic, and what they need.

use dustin_kernels::{
    executor::{self, Fault, Launch, Memory, Options, Report, Trace},
    simt::{Bf16, F16, Global, Shared, Wgmma, WgmmaShared, barrier, cp_async, fence, thread, wgmma::Matrix},
};
use half::{bf16, f16};

/// Rows of the product.
const ROWS: usize = 64;
/// Where the left operand lies in shared memory: 64 rows of 128 items.
const LEFT: u32 = 2 * panel(RIGHT_ROWS);
/// Rows of the right operand, of 128 items.
const RIGHT_ROWS: u32 = 32;

/// Bytes of a panel of `rows` rows of 64 items.
const fn panel(rows: u32) -> u32 {
    rows * 128
}

fn launch(threads: u32, memory: &mut Memory, body: impl Fn()) -> Result<Trace, Report> {
    let launch = Launch {
        name: "products",
        grid: [1; 3],
        cluster: 1,
        overlaps: false,
        threads,
        shared_bytes: LEFT + 2 * panel(ROWS as u32),
    };
    executor::run(&launch, memory, &Options::default(), body)
}

/// The only fault that a launch reports.
fn fault(result: Result<Trace, Report>) -> Fault {
    let report = result.expect_err("something to report");
    let [finding] = &report.findings[..] else { panic!("one finding, not {report}") };
    finding.fault.clone()
}

/// Numbers without a pattern that a wrong layout could keep.
fn noise(index: usize) -> f32 {
    let mixed = (index as u32 + 1).wrapping_mul(0x9e37_79b9).rotate_left(13).wrapping_mul(0x85eb_ca6b);
    (mixed >> 20) as f32 / 2048.0 - 1.0
}

/// Stores a matrix of `rows` rows of 128 items behind `start`, in panels of 64 items with exchanged words.
fn store(start: u32, items: Global<u16>, rows: u32) {
    let mut index = thread::thread_index();
    while index < rows * 128 {
        let (row, item) = (index / 128, index % 128);
        let place = item / 64 * panel(rows) + row * 128 + ((item / 8 % 8) ^ (row % 8)) * 16 + item % 8 * 2;
        // SAFETY: so many rows of 128 items in the input and in shared memory.
        unsafe { Shared::<u16>::at(start + place).store(0, items.load(index.into())) };
        index += 128;
    }
}

/// The calling lane's fragment of items `16·step` on of rows `16·warp` on of a matrix of 64 rows of `width` items.
fn fragment(items: Global<u16>, width: u64, step: u64) -> [u32; 4] {
    let (group, pair) = (u64::from(thread::lane() / 4), u64::from(thread::lane() % 4 * 2));
    [(0, 0), (8, 0), (0, 8), (8, 8)].map(|(down, along)| {
        let row = u64::from(16 * thread::warp()) + group + down;
        let at = row * width + 16 * step + pair + along;
        // SAFETY: row and items lie in the matrix.
        unsafe { u32::from(items.load(at)) | u32::from(items.load(at + 1)) << 16 }
    })
}

/// Stores the calling lane's share of a product of 64 rows of `8 · T` columns.
fn store_product<const T: usize>(output: Global<f32>, accumulator: &[[f32; 4]; T]) {
    for (tile, words) in accumulator.iter().enumerate() {
        for (word, &value) in words.iter().enumerate() {
            let row = 16 * thread::warp() as usize + thread::lane() as usize / 4 + word / 2 * 8;
            let column = 8 * tile + 2 * (thread::lane() as usize % 4) + word % 2;
            // SAFETY: row and column lie in the output.
            unsafe { output.store((row * 8 * T + column) as u64, value) };
        }
    }
}

/// `A·Bᵀ` over 128 items and 32 columns, and `P·B` over 32 items and 128 columns, of the same B: 32 rows of 128 items. A lies in
/// shared memory, P in registers.
fn products_match_plain_arithmetic<E>(bits: fn(f32) -> u16, value: fn(u16) -> f32)
where
    E: WgmmaShared<4, 8> + Wgmma<16, 2>,
{
    let long: Vec<u16> = (0..ROWS * 128).map(|i| bits(noise(i))).collect();
    let short: Vec<u16> = (0..ROWS * 32).map(|i| bits(noise(50_000 + i))).collect();
    let right: Vec<u16> = (0..32 * 128).map(|i| bits(noise(90_000 + i))).collect();
    let mut memory = Memory::new();
    let [a, p, b] = [&long, &short, &right].map(|items| Global::<u16>::at(memory.input(items)));
    let (scores_at, values_at) =
        (memory.output::<f32>(ROWS * 32, f32::NAN), memory.output::<f32>(ROWS * 128, f32::NAN));
    launch(128, &mut memory, || {
        store(0, b, RIGHT_ROWS);
        store(LEFT, a, ROWS as u32);
        fence::proxy_async();
        barrier::block_sync();
        let along_rows = |start, rows| {
            std::array::from_fn(|k| {
                Matrix::new(
                    Shared::<u32>::at(start).byte(k as u32 / 4 * panel(rows) + k as u32 % 4 * 32),
                    0,
                    1024,
                )
            })
        };
        let over_rows = std::array::from_fn(|n| {
            Matrix::new(Shared::<u32>::at(0).byte(n as u32 * 2048), panel(RIGHT_ROWS), 1024)
        });
        let (mut scores, mut values) = ([[0.5; 4]; 4], [[0.25; 4]; 16]);
        // SAFETY: all warps take part; the rows are stored, fenced and ordered by the barrier.
        unsafe {
            let (left, right) = (along_rows(LEFT, ROWS as u32), along_rows(0, RIGHT_ROWS));
            E::multiply_shared(&mut scores, &left, &right);
            let short = std::array::from_fn(|step| fragment(p, 32, step as u64));
            E::multiply(&mut values, &short, &over_rows);
        }
        store_product(Global::at(scores_at), &scores);
        store_product(Global::at(values_at), &values);
    })
    .unwrap_or_else(|report| panic!("{report}"));

    let check = |got: Vec<f32>, columns: usize, expected: &dyn Fn(usize, usize) -> f64| {
        for (index, &got) in got.iter().enumerate() {
            let (row, column) = (index / columns, index % columns);
            let expected = expected(row, column);
            let near = (f64::from(got) - expected).abs() < 1e-4;
            assert!(near, "row {row}, column {column} of {columns}: {got}, not {expected}");
        }
    };
    let value = |items: &[u16], index: usize| f64::from(value(items[index]));
    check(memory.read(scores_at, ROWS * 32), 32, &|row, column| {
        let products = (0..128).map(|k| value(&long, row * 128 + k) * value(&right, column * 128 + k));
        0.5 + products.sum::<f64>()
    });
    check(memory.read(values_at, ROWS * 128), 128, &|row, column| {
        let products = (0..32).map(|k| value(&short, row * 32 + k) * value(&right, k * 128 + column));
        0.25 + products.sum::<f64>()
    });
}

#[test]
fn bf16_products_match_plain_arithmetic_along_rows_and_columns() {
    products_match_plain_arithmetic::<Bf16>(
        |x| bf16::from_f32(x).to_bits(),
        |bits| bf16::from_bits(bits).to_f32(),
    );
}

#[test]
fn f16_products_match_plain_arithmetic_along_rows_and_columns() {
    products_match_plain_arithmetic::<F16>(
        |x| f16::from_f32(x).to_bits(),
        |bits| f16::from_bits(bits).to_f32(),
    );
}

/// A product of zeros with the 32 rows of 128 bytes at `address`.
fn multiply(address: u32) {
    let b = [0, 2048].map(|rows| Matrix::new(address + rows, 0, 1024));
    // SAFETY: the executor checks what the caller would have to promise.
    unsafe { <Bf16 as Wgmma<8, 2>>::multiply(&mut [[0.0; 4]; 8], &[[0; 4]; 2], &b) };
}

/// Writes 32 rows of 128 bytes, two words of 16 bytes for each thread.
fn write_rows() {
    for word in [0, 128] {
        // SAFETY: 4096 bytes of shared memory.
        unsafe { Shared::<[u32; 4]>::at(0).store(thread::thread_index() + word, [0; 4]) };
    }
}

#[test]
fn a_product_needs_a_fence_and_a_barrier_behind_what_threads_have_written() {
    let run = |fenced: bool, ordered: bool| {
        launch(128, &mut Memory::new(), || {
            write_rows();
            if fenced {
                fence::proxy_async();
            }
            if ordered {
                barrier::block_sync();
            }
            multiply(0);
        })
    };
    run(true, true).unwrap_or_else(|report| panic!("{report}"));
    let Fault::ProxyFence { .. } = fault(run(false, true)) else { panic!("a fence is missing") };
    let report = run(true, false).expect_err("a barrier is missing");
    assert!(report.findings.iter().any(|finding| matches!(finding.fault, Fault::Race { .. })), "{report}");
}

#[test]
fn a_fence_behind_the_barrier_serves_as_well() {
    launch(128, &mut Memory::new(), || {
        write_rows();
        barrier::block_sync();
        fence::proxy_async();
        multiply(0);
    })
    .unwrap_or_else(|report| panic!("{report}"));
}

#[test]
fn asynchronous_copies_are_fenced_behind_their_wait() {
    let run = |behind: bool| {
        let mut memory = Memory::new();
        let from = Global::<[u32; 4]>::at(memory.input(&[[0_u32; 4]; 256]));
        launch(128, &mut memory, || {
            for word in [0, 128] {
                let word = thread::thread_index() + word;
                // SAFETY: two words for each thread on both sides.
                unsafe {
                    let to = Shared::<[u32; 4]>::at(0).byte(16 * word);
                    cp_async::copy_16(to, from.item(word.into()), true);
                }
            }
            cp_async::commit();
            if !behind {
                fence::proxy_async();
            }
            cp_async::wait_pending(0);
            if behind {
                fence::proxy_async();
            }
            barrier::block_sync();
            multiply(0);
        })
    };
    run(true).unwrap_or_else(|report| panic!("{report}"));
    let Fault::ProxyFence { .. } = fault(run(false)) else { panic!("the fence comes too early") };
}

#[test]
fn rows_that_a_product_has_read_are_not_overwritten_before_a_barrier() {
    let report = launch(128, &mut Memory::new(), || {
        write_rows();
        fence::proxy_async();
        barrier::block_sync();
        multiply(0);
        write_rows();
    });
    let report = report.expect_err("other warps may still multiply");
    assert!(report.findings.iter().any(|finding| matches!(finding.fault, Fault::Race { .. })), "{report}");
}

#[test]
fn the_four_warps_of_a_group_multiply_by_the_same() {
    let run = |threads: u32, of_warp: fn(u32) -> Option<u32>| {
        launch(threads, &mut Memory::new(), || {
            if thread::warp() == 0 {
                for word in 0..16 {
                    // SAFETY: 8192 bytes of shared memory.
                    unsafe { Shared::<[u32; 4]>::at(0).store(thread::lane() + 32 * word, [0; 4]) };
                }
            }
            fence::proxy_async();
            barrier::block_sync();
            if let Some(address) = of_warp(thread::warp()) {
                multiply(address);
            }
        })
    };
    run(128, |_| Some(0)).unwrap_or_else(|report| panic!("{report}"));
    let lacks = fault(run(128, |warp| (warp != 2).then_some(0)));
    assert_eq!(lacks, Fault::Warpgroup { matrices: [16, 16, 0, 16] });
    let differs = fault(run(128, |warp| Some(if warp == 1 { 4096 } else { 0 })));
    assert_eq!(differs, Fault::Warpgroup { matrices: [16; 4] });
    let lanes = launch(128, &mut Memory::new(), || {
        write_rows();
        fence::proxy_async();
        barrier::block_sync();
        multiply(thread::lane() / 31 * 128);
    });
    let Fault::Divergent { .. } = fault(lanes) else { panic!("one lane has another operand") };
    let between = launch(128, &mut Memory::new(), || {
        write_rows();
        fence::proxy_async();
        barrier::block_sync();
        let b = [0, 2048].map(|address| Matrix::new(address, 8, 1024));
        // SAFETY: as in `multiply`.
        unsafe { <Bf16 as Wgmma<8, 2>>::multiply(&mut [[0.0; 4]; 8], &[[0; 4]; 2], &b) };
    });
    let Fault::Misaligned { .. } = fault(between) else { panic!("a distance of half a word") };
    let three = fault(run(96, |_| Some(0)));
    assert_eq!(three, Fault::Warpgroup { matrices: [16, 16, 16, 0] });
}
