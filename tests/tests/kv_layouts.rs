//! Caches as FlashInfer, vLLM and SGLang lay them out, written by their own indexing: read back through `PagedKv`, and attended to on
//! the CPU with the same bits as the dense cache of the same tokens.

use dustin::{
    Dtype,
    attention::{
        arrays::{AttentionArrays, AttentionStrides},
        problem::{AttentionProblem, Confirmed, Mask},
    },
    cpu::{CpuBackend, OutputMut, default_candidate},
    element::encode,
    kv::{BlockTablesMut, CsrTables, KvLayout, PagedKv, TensorKv, TensorLayout},
};
use dustin_tests::verifier::world::NAN;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

const PAGES: usize = 7;
const PAGE_SIZE: usize = 8;
const HEADS: usize = 3;
const DIM: usize = 64;

/// One side (0: keys, 1: values), a page, a token of it, a KV head, and an item of that.
type Index = (usize, usize, usize, usize, usize);

fn indices() -> impl Iterator<Item = Index> {
    let items = 2 * PAGES * PAGE_SIZE * HEADS * DIM;
    (0..items).map(|item| {
        let (rest, dim) = (item / DIM, item % DIM);
        let (rest, head) = (rest / HEADS, rest % HEADS);
        let (rest, token) = (rest / PAGE_SIZE, rest % PAGE_SIZE);
        (rest / PAGES, rest % PAGES, token, head, dim)
    })
}

/// What the caches hold, in the order of [`indices`].
fn tokens() -> Vec<u16> {
    let mut rng = Pcg64Mcg::seed_from_u64(7);
    indices().map(|_| encode(Dtype::Bf16, rng.random_range(-2.0..2.0))).collect()
}

/// A tensor of an engine.
struct Tensor {
    name: &'static str,
    layout: TensorLayout,
    shape: Vec<i64>,
    /// The dimensions in the order of memory, outermost first.
    memory: Vec<usize>,
    /// Where the engine has an item, by the numbers of the shape's dimensions.
    index: fn(Index) -> Vec<usize>,
    /// Items that lie behind each of the outermost dimension's.
    gap: usize,
}

fn tensors() -> Vec<Tensor> {
    use KvLayout::{Hnd, Nhd};
    let (p, t, h, d) = (PAGES as i64, PAGE_SIZE as i64, HEADS as i64, DIM as i64);
    let tensor = |name, layout, shape: &[i64], memory: &[usize], index| Tensor {
        name,
        layout,
        shape: shape.to_vec(),
        memory: memory.to_vec(),
        index,
        gap: 0,
    };
    let in_order = [0, 1, 2, 3, 4];
    let flashinfer =
        tensor("FlashInfer NHD", TensorLayout::PagesFirst(Nhd), &[p, 2, t, h, d], &in_order, |at| {
            vec![at.1, at.0, at.2, at.3, at.4]
        });
    let padded = Tensor {
        name: "pages with gaps",
        gap: 24,
        ..tensor("", flashinfer.layout, &flashinfer.shape, &in_order, flashinfer.index)
    };
    vec![
        flashinfer,
        tensor("FlashInfer HND", TensorLayout::PagesFirst(Hnd), &[p, 2, h, t, d], &in_order, |at| {
            vec![at.1, at.0, at.3, at.2, at.4]
        }),
        tensor("vLLM keys first, NHD", TensorLayout::KeysFirst(Nhd), &[2, p, t, h, d], &in_order, |at| {
            vec![at.0, at.1, at.2, at.3, at.4]
        }),
        tensor(
            "vLLM keys first, HND in memory",
            TensorLayout::KeysFirst(Nhd),
            &[2, p, t, h, d],
            &[0, 1, 3, 2, 4],
            |at| vec![at.0, at.1, at.2, at.3, at.4],
        ),
        tensor(
            "vLLM blocks first, HND in memory",
            TensorLayout::PagesFirst(Nhd),
            &[p, 2, t, h, d],
            &[0, 1, 3, 2, 4],
            |at| vec![at.1, at.0, at.2, at.3, at.4],
        ),
        tensor("vLLM packed", TensorLayout::Packed(Hnd), &[p, h, t, 2 * d], &[0, 1, 2, 3], |at| {
            vec![at.1, at.3, at.2, at.0 * DIM + at.4]
        }),
        padded,
    ]
}

impl Tensor {
    fn strides(&self) -> Vec<i64> {
        let (mut strides, mut step) = (vec![0; self.shape.len()], 1);
        for &place in self.memory.iter().rev() {
            strides[place] = step;
            step *= self.shape[place];
        }
        strides[self.memory[0]] += self.gap as i64;
        strides
    }

    /// The tensor's memory, NaN where no item lies.
    fn items(&self, tokens: &[u16]) -> Vec<u16> {
        let strides = self.strides();
        let outermost = self.memory[0];
        let mut items = vec![NAN; (self.shape[outermost] * strides[outermost]) as usize];
        for (at, &item) in indices().zip(tokens) {
            let place: usize =
                (self.index)(at).iter().zip(&strides).map(|(i, &stride)| i * stride as usize).sum();
            assert_eq!(items[place], NAN, "{}: no two items share a place", self.name);
            items[place] = item;
        }
        items
    }

    fn kv(&self) -> TensorKv {
        PagedKv::from_tensor(&self.shape, &self.strides(), self.layout).expect("a cache")
    }
}

/// Every token where `kv` says that it is.
fn require_tokens(name: &str, kv: &PagedKv, sides: [&[u16]; 2], tokens: &[u16]) {
    for ((side, page, token, head, dim), &item) in indices().zip(tokens) {
        let place = kv.offset(page as u32, token as u32, head as u32) as usize + dim;
        assert_eq!(sides[side][place], item, "{name}: page {page}, token {token}, head {head}, item {dim}");
    }
}

/// The output bits of two sequences, of 29 and 16 tokens, one of which has its own row in the last page.
fn attended(kv: PagedKv, [key, value]: [&[u16]; 2]) -> Vec<u16> {
    let csr = CsrTables { indptr: &[0, 4, 6], indices: &[5, 0, 3, 6, 2, 1], last_page_len: &[7, 8] };
    let (mut block_table, mut lengths, row_starts) = ([0; 10], [0; 2], [0, 2, 3]);
    let tables =
        BlockTablesMut { block_table: &mut block_table, stride: 5, table_width: 4, lengths: &mut lengths };
    csr.write(PAGE_SIZE as u32, Some(&row_starts), tables).expect("sound rows");
    assert_eq!(lengths, [29, 15]);
    let problem = AttentionProblem {
        batch: 2,
        rows: 2,
        total_rows: 3,
        confirmed: Confirmed::Everything,
        query_heads: 2 * HEADS as u32,
        kv,
        table_width: 4,
        dtype: Dtype::Bf16,
        mask: Mask::Causal,
        lse: false,
        batch_invariant: false,
    };
    let mut rng = Pcg64Mcg::seed_from_u64(8);
    let items = 3 * 2 * HEADS * DIM;
    let query: Vec<u16> = (0..items).map(|_| encode(Dtype::Bf16, rng.random_range(-2.0..2.0))).collect();
    let arrays = AttentionArrays {
        query: &query,
        key,
        value,
        block_table: &block_table,
        lengths: &lengths,
        row_starts: &row_starts,
        set: &[],
        set_sizes: &[],
        masks: &[],
        scale: 0.125,
        strides: AttentionStrides { table: 5, ..AttentionStrides::dense(&problem) },
    };
    let mut backend = CpuBackend::new(1).expect("a thread");
    let candidate = default_candidate(&problem, backend.limits()).expect("a variant");
    let mut output = vec![NAN; items];
    let status = backend.attention(&problem, &candidate, &arrays, OutputMut::Rounded(&mut output), None);
    assert_eq!(status, Ok(0));
    output
}

#[test]
fn tokens_lie_where_engines_put_them_and_attention_gives_the_bits_of_a_dense_cache() {
    let tokens = tokens();
    let (keys, values) = tokens.split_at(tokens.len() / 2);
    // The order of `indices` is a dense NHD cache.
    let shape = [PAGES, PAGE_SIZE, HEADS, DIM].map(|size| size as i64);
    let strides = [PAGE_SIZE * HEADS * DIM, HEADS * DIM, DIM, 1].map(|stride| stride as i64);
    let dense = PagedKv::from_pair((&shape, &strides), (&shape, &strides), KvLayout::Nhd).unwrap();
    require_tokens("a tuple of tensors", &dense, [keys, values], &tokens);
    let expected = attended(dense, [keys, values]);
    assert!(!expected.contains(&NAN));
    for tensor in tensors() {
        let (TensorKv { kv, value }, items) = (tensor.kv(), tensor.items(&tokens));
        let values = &items[value.expect("both sides") as usize..];
        assert!(kv.extent() as usize <= values.len(), "{}", tensor.name);
        require_tokens(tensor.name, &kv, [&items, values], &tokens);
        assert_eq!(attended(kv, [&items, values]), expected, "{}", tensor.name);
    }
}

#[test]
fn a_token_to_a_page_is_a_pool_of_tokens() {
    let tokens = tokens();
    let (keys, values) = tokens.split_at(tokens.len() / 2);
    let (shape, strides) = ([PAGES * PAGE_SIZE, 1, HEADS, DIM], [HEADS * DIM, HEADS * DIM, DIM, 1]);
    let (shape, strides) = (shape.map(|size| size as i64), strides.map(|stride| stride as i64));
    let pool = PagedKv::from_tensor(&shape, &strides, TensorLayout::Alone(KvLayout::Nhd)).unwrap().kv;
    for ((side, page, token, head, dim), &item) in indices().zip(&tokens) {
        let place = pool.offset((page * PAGE_SIZE + token) as u32, 0, head as u32) as usize + dim;
        assert_eq!([keys, values][side][place], item);
    }
}
