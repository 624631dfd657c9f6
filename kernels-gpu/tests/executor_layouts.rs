//! Warp-wide operations of the executor, against plain arithmetic.

use dustin_kernels::{
    executor::{self, Launch, Memory, Options, Trace},
    probes::leader_barrier,
    simt::{Bf16, Element, F16, Global, Shared, barrier, ldmatrix, shuffle, thread},
};
use half::{bf16, f16};

/// Runs one block of `threads` threads, which must be clean.
fn run(threads: u32, shared_bytes: u32, memory: &mut Memory, body: impl Fn()) -> Trace {
    let launch =
        Launch { name: "layout", grid: [1, 1, 1], cluster: 1, overlaps: false, threads, shared_bytes };
    executor::run(&launch, memory, &Options::default(), body).unwrap_or_else(|report| panic!("{report}"))
}

/// A 16-bit item type of the host.
trait Item: Element {
    fn bits(x: f32) -> u16;
    fn value(bits: u16) -> f32;
}

impl Item for Bf16 {
    fn bits(x: f32) -> u16 {
        bf16::from_f32(x).to_bits()
    }
    fn value(bits: u16) -> f32 {
        bf16::from_bits(bits).to_f32()
    }
}

impl Item for F16 {
    fn bits(x: f32) -> u16 {
        f16::from_f32(x).to_bits()
    }
    fn value(bits: u16) -> f32 {
        f16::from_bits(bits).to_f32()
    }
}

/// Numbers without a pattern that a wrong layout could keep.
fn noise(index: usize) -> f32 {
    let mixed = (index as u32 + 1).wrapping_mul(0x9e37_79b9).rotate_left(13).wrapping_mul(0x85eb_ca6b);
    (mixed >> 20) as f32 / 2048.0 - 1.0
}

/// `C = A·B` of a 16x16 and a 16x8 matrix, A through ldmatrix, B column-major through the transposed ldmatrix.
fn product_matches_plain_arithmetic<E: Item>() {
    let a: Vec<u16> = (0..256).map(|i| E::bits(noise(i))).collect();
    let b: Vec<u16> = (0..128).map(|i| E::bits(noise(1000 + i))).collect();
    let mut memory = Memory::new();
    let input: Global<u16> = Global::at(memory.input(&[a.clone(), b.clone()].concat()));
    let output_at = memory.output::<f32>(128, f32::NAN);
    let output: Global<f32> = Global::at(output_at);
    run(32, 768, &mut memory, || {
        let items = Shared::<u16>::at(0);
        let lane = thread::lane();
        for step in 0..12 {
            let index = step * 32 + lane;
            // SAFETY: 384 items each in the input and in shared memory.
            unsafe { items.store(index, input.load(u64::from(index))) };
        }
        barrier::block_sync();
        // Matrices of A: rows 0-7 and 8-15 of items 0-7, then of items 8-15. B: items 0-7, then 8-15, of all columns.
        let a_row = items.byte((lane % 16) * 32 + lane / 16 * 16);
        let b_row = items.byte(512 + (lane % 16) * 16);
        // SAFETY: all lanes take part; the rows lie in shared memory and are aligned to 16 bytes.
        let (a, b) = unsafe { (ldmatrix::load_x4(a_row), ldmatrix::load_x2_transposed(b_row)) };
        let mut c = [0.5; 4];
        E::mma(&mut c, a, b);
        for (word, value) in (0..).zip(c) {
            let (row, column) = (lane / 4 + word / 2 * 8, 2 * (lane % 4) + word % 2);
            // SAFETY: row and column lie in the 16x8 output.
            unsafe { output.store(u64::from(row * 8 + column), value) };
        }
    });
    let c = memory.read::<f32>(output_at, 128);
    for row in 0..16 {
        for column in 0..8 {
            let products = (0..16)
                .map(|k| f64::from(E::value(a[row * 16 + k])) * f64::from(E::value(b[k * 8 + column])));
            let expected = 0.5 + products.sum::<f64>();
            let got = f64::from(c[row * 8 + column]);
            assert!((got - expected).abs() < 1e-5, "row {row}, column {column}: {got}, not {expected}");
        }
    }
}

#[test]
fn bf16_products_match_plain_arithmetic() {
    product_matches_plain_arithmetic::<Bf16>();
}

#[test]
fn f16_products_match_plain_arithmetic() {
    product_matches_plain_arithmetic::<F16>();
}

#[test]
fn ldmatrix_hands_out_rows_and_columns() {
    let mut memory = Memory::new();
    let [plain_at, transposed_at] = [0, 1].map(|_| memory.output::<u32>(128, u32::MAX));
    let (plain, transposed) = (Global::<u32>::at(plain_at), Global::<u32>::at(transposed_at));
    run(32, 512, &mut memory, || {
        let items = Shared::<u16>::at(0);
        let lane = thread::lane();
        for item in 0..8 {
            // SAFETY: 256 items in shared memory. Item `column` of row `row` of matrix `m` is 100 m + 10 row + column.
            unsafe { items.store(lane * 8 + item, (100 * (lane / 8) + 10 * (lane % 8) + item) as u16) };
        }
        barrier::block_sync();
        // SAFETY: all lanes take part, each naming its own 16-byte row; 128 items in each output.
        unsafe {
            let rows = ldmatrix::load_x4(items.byte(lane * 16));
            let columns = ldmatrix::load_x4_transposed(items.byte(lane * 16));
            for matrix in 0..4 {
                plain.store(u64::from(matrix * 32 + lane), rows[matrix as usize]);
                transposed.store(u64::from(matrix * 32 + lane), columns[matrix as usize]);
            }
        }
    });
    let (plain, transposed) = (memory.read::<u32>(plain_at, 128), memory.read::<u32>(transposed_at, 128));
    for matrix in 0..4 {
        for lane in 0..32 {
            let (own, pair) = (lane / 4, 2 * (lane % 4));
            let at = (matrix * 32 + lane) as usize;
            let row = 100 * matrix + 10 * own + pair;
            assert_eq!(plain[at], row | (row + 1) << 16, "matrix {matrix}, lane {lane}");
            let column = 100 * matrix + 10 * pair + own;
            assert_eq!(
                transposed[at],
                column | (column + 10) << 16,
                "matrix {matrix}, lane {lane}, transposed"
            );
        }
    }
}

#[test]
fn shuffles_exchange_registers() {
    let mut memory = Memory::new();
    let at = memory.output::<u32>(64 * 3, 0);
    let output: Global<u32> = Global::at(at);
    run(64, 0, &mut memory, || {
        let index = thread::thread_index();
        let values = [
            shuffle::shuffle_xor(index, 5),
            shuffle::shuffle_index(index, (thread::lane() + 7) % 32),
            shuffle::shuffle_xor_f32(index as f32, 16) as u32,
        ];
        for (place, value) in (0..).zip(values) {
            // SAFETY: three items for each of 64 threads.
            unsafe { output.store(u64::from(place * 64 + index), value) };
        }
    });
    let got = memory.read::<u32>(at, 64 * 3);
    for index in 0..64 {
        assert_eq!(got[index as usize], index ^ 5);
        assert_eq!(got[64 + index as usize], index / 32 * 32 + (index + 7) % 32);
        assert_eq!(got[128 + index as usize], index ^ 16);
    }
}

#[test]
fn the_leader_barrier_probe_runs_clean() {
    let mut memory = Memory::new();
    let output = memory.output::<u32>(leader_barrier::THREADS as usize, 0);
    let trace = run(leader_barrier::THREADS, leader_barrier::SHARED_BYTES, &mut memory, || {
        // SAFETY: the output holds an item for each thread.
        unsafe { leader_barrier::leader_barrier(14, Global::at(output)) }
    });
    assert_eq!(trace.syncs.len(), leader_barrier::BARRIERS);
    assert_eq!(memory.read::<u32>(output, 128), (0..128).map(|i| 43 + i).collect::<Vec<_>>());
}
