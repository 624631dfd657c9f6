//! Caches as engines hold them: a tensor, or two, for each layer.

use super::{KvLayout, PagedKv};
use crate::{cache::overlap::require_disjoint, error::InvalidInput};

const OPERATION: &str = "cache tensor";

/// Which dimensions the tensor of a layer's cache has, in the order of its shape. How they lie in memory is the strides' to say: a
/// tensor of NHD shape may be HND in memory, as vLLM's are where it is told so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TensorLayout {
    /// Keys alone, or values alone: `[pages, page_size, kv_heads, head_dim]`, or HND. FlashInfer's tuple of two tensors, and a layer's
    /// buffers in SGLang (with pages of one token).
    Alone(KvLayout),
    /// `[pages, 2, page_size, kv_heads, head_dim]`, or HND: FlashInfer's single tensor, and that of vLLM's backends that have
    /// blocks first.
    PagesFirst(KvLayout),
    /// `[2, pages, page_size, kv_heads, head_dim]`, or HND: that of vLLM's FlashAttention backend where it has keys first.
    KeysFirst(KvLayout),
    /// `[pages, page_size, kv_heads, 2 · head_dim]`, or HND, a head's value behind its key: that of vLLM's backends that pack both
    /// into the last dimension.
    Packed(KvLayout),
}

/// A tensor's keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorKv {
    /// The shape and the strides of both.
    pub kv: PagedKv,
    /// Items from the tensor's start, where the keys begin, to where the values do; nothing where they are in a tensor of their own.
    pub value: Option<u64>,
}

/// A dimension as it is found: its size and, in items, its stride.
#[derive(Clone, Copy)]
struct Dimension {
    size: i64,
    stride: i64,
}

impl PagedKv {
    /// The cache in a tensor of this `shape` and these `strides`, counted in items of 16 bits, as PyTorch and DLPack have them. Strides of
    /// dimensions of one item are not looked at.
    ///
    /// # Errors
    /// The tensor has another rank, its heads are not contiguous, a stride is not a positive multiple of 8, there are not two halves,
    /// heads, keys and values overlap, or the shape is none that [`PagedKv::validate`] allows.
    pub fn from_tensor(
        shape: &[i64],
        strides: &[i64],
        layout: TensorLayout,
    ) -> Result<TensorKv, InvalidInput> {
        let (order, halves, rank) = match layout {
            TensorLayout::Alone(order) | TensorLayout::Packed(order) => (order, None, 4),
            TensorLayout::PagesFirst(order) => (order, Some(1), 5),
            TensorLayout::KeysFirst(order) => (order, Some(0), 5),
        };
        for (field, actual) in [("shape", shape.len()), ("strides", strides.len())] {
            if actual != rank {
                let required = format!("of {rank} dimensions, as {layout:?} has");
                return Err(InvalidInput::new(OPERATION, field, required, actual));
            }
        }
        let found = shape.iter().zip(strides).map(|(&size, &stride)| Dimension { size, stride });
        let mut dimensions: Vec<Dimension> = found.collect();
        let halves = halves.map(|place| dimensions.remove(place));
        let (tokens, heads) = match order {
            KvLayout::Nhd => (dimensions[1], dimensions[2]),
            KvLayout::Hnd => (dimensions[2], dimensions[1]),
        };
        let (pages, items) = (dimensions[0], dimensions[3]);
        if items.stride != 1 {
            return Err(InvalidInput::new(OPERATION, "head_dim stride", "1 item", items.stride));
        }
        let is_packed = matches!(layout, TensorLayout::Packed(_));
        if is_packed && items.size % 2 != 0 {
            return Err(InvalidInput::new(OPERATION, "last dimension", "a key and a value", items.size));
        }
        let head_dim = count("head_dim", if is_packed { items.size / 2 } else { items.size })?;
        let kv = paged([pages, tokens, heads], head_dim)?;
        kv.validate(OPERATION)?;
        let value = match halves {
            Some(Dimension { size: 2, stride }) => Some(positive("value - key", stride)?),
            Some(Dimension { size, .. }) => {
                return Err(InvalidInput::new(OPERATION, "keys and values", "2", size));
            }
            None => is_packed.then_some(u64::from(head_dim)),
        };
        require_disjoint(OPERATION, &kv, value)?;
        Ok(TensorKv { kv, value })
    }

    /// The caches in a tensor of keys and one of values, of which shape and strides are given.
    ///
    /// # Errors
    /// As [`from_tensor`](Self::from_tensor), of either; they are not alike.
    pub fn from_pair(
        key: (&[i64], &[i64]),
        value: (&[i64], &[i64]),
        order: KvLayout,
    ) -> Result<Self, InvalidInput> {
        let of = |(shape, strides)| Self::from_tensor(shape, strides, TensorLayout::Alone(order));
        let (key, value) = (of(key)?.kv, of(value)?.kv);
        if key != value {
            let required = format!("of the keys' shape and strides, {key:?}");
            return Err(InvalidInput::new(OPERATION, "values", required, format!("{value:?}")));
        }
        Ok(key)
    }
}

/// The cache of heads of `head_dim` items. Dimensions of one item get the strides that leave the others' largest common divisor.
fn paged([pages, tokens, heads]: [Dimension; 3], head_dim: u32) -> Result<PagedKv, InvalidInput> {
    let stride = |field, dimension: Dimension| {
        (dimension.size > 1).then(|| positive(field, dimension.stride)).transpose()
    };
    let (page_size, kv_heads) = (count("page_size", tokens.size)?, count("kv_heads", heads.size)?);
    let [of_page, of_token, of_head] =
        [stride("page stride", pages)?, stride("token stride", tokens)?, stride("KV head stride", heads)?];
    let dense = u64::from(kv_heads) * u64::from(head_dim);
    let token_stride = of_token.or(of_page).unwrap_or(dense);
    Ok(PagedKv {
        pages: count("pages", pages.size)?,
        page_size,
        kv_heads,
        head_dim,
        page_stride: of_page.unwrap_or(token_stride.saturating_mul(page_size.into())),
        token_stride,
        kv_head_stride: of_head.unwrap_or(head_dim.into()),
    })
}

fn count(field: &'static str, size: i64) -> Result<u32, InvalidInput> {
    match u32::try_from(size) {
        Ok(size) if size > 0 => Ok(size),
        _ => Err(InvalidInput::new(OPERATION, field, "from 1 to 2^32 - 1", size)),
    }
}

fn positive(field: &'static str, stride: i64) -> Result<u64, InvalidInput> {
    match u64::try_from(stride) {
        Ok(stride) if stride > 0 && stride.is_multiple_of(8) => Ok(stride),
        _ => Err(InvalidInput::new(OPERATION, field, "a positive multiple of 8 items", stride)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The strides of a tensor without gaps whose dimensions lie in the order `memory`, outermost first.
    fn strides<const N: usize>(shape: [i64; N], memory: [usize; N]) -> [i64; N] {
        let (mut strides, mut step) = ([0; N], 1);
        for place in memory.into_iter().rev() {
            strides[place] = step;
            step *= shape[place];
        }
        strides
    }

    fn refused(shape: &[i64], strides: &[i64], layout: TensorLayout) -> &'static str {
        PagedKv::from_tensor(shape, strides, layout).unwrap_err().field
    }

    const FLASHINFER: TensorLayout = TensorLayout::PagesFirst(KvLayout::Nhd);

    #[test]
    fn a_tensor_without_gaps_is_a_dense_cache_with_values_in_turn_or_behind() {
        let dense = |order| PagedKv::dense(order, 100, 16, 8, 128);
        let page = dense(KvLayout::Nhd).page_stride;
        for order in [KvLayout::Nhd, KvLayout::Hnd] {
            let inner = if order == KvLayout::Nhd { [16, 8] } else { [8, 16] };
            let shape = [100, inner[0], inner[1], 128];
            let alone =
                PagedKv::from_tensor(&shape, &strides(shape, [0, 1, 2, 3]), TensorLayout::Alone(order));
            assert_eq!(alone, Ok(TensorKv { kv: dense(order), value: None }));
            let shape = [100, 2, inner[0], inner[1], 128];
            let in_turn = PagedKv::from_tensor(
                &shape,
                &strides(shape, [0, 1, 2, 3, 4]),
                TensorLayout::PagesFirst(order),
            );
            let kv = PagedKv { page_stride: 2 * page, ..dense(order) };
            assert_eq!(in_turn, Ok(TensorKv { kv, value: Some(page) }));
            let shape = [2, 100, inner[0], inner[1], 128];
            let behind = PagedKv::from_tensor(
                &shape,
                &strides(shape, [0, 1, 2, 3, 4]),
                TensorLayout::KeysFirst(order),
            );
            assert_eq!(behind, Ok(TensorKv { kv: dense(order), value: Some(100 * page) }));
        }
    }

    #[test]
    fn the_order_in_memory_is_the_strides() {
        // vLLM's shape is NHD, whatever the order in memory.
        let shape = [2, 100, 16, 8, 128];
        let hnd = strides(shape, [0, 1, 3, 2, 4]);
        let found = PagedKv::from_tensor(&shape, &hnd, TensorLayout::KeysFirst(KvLayout::Nhd)).unwrap();
        assert_eq!(found.kv, PagedKv::dense(KvLayout::Hnd, 100, 16, 8, 128));
        assert_eq!(found.kv.layout(), KvLayout::Hnd);
    }

    #[test]
    fn a_packed_tensor_has_each_value_behind_its_key() {
        let shape = [100, 8, 16, 256];
        let packed = TensorLayout::Packed(KvLayout::Hnd);
        let found = PagedKv::from_tensor(&shape, &strides(shape, [0, 1, 2, 3]), packed).unwrap();
        assert_eq!((found.kv.head_dim, found.kv.token_stride, found.value), (128, 256, Some(128)));
        assert_eq!(refused(&[9, 8, 16, 129], &[1 << 20, 4096, 256, 1], packed), "last dimension");
    }

    #[test]
    fn dimensions_of_one_item_may_have_any_stride() {
        // Tokens as pages: SGLang's pool of one layer.
        let kv =
            PagedKv::from_tensor(&[1000, 1, 8, 64], &[512, -7, 64, 1], TensorLayout::Alone(KvLayout::Nhd));
        assert_eq!(kv.unwrap().kv, PagedKv::dense(KvLayout::Nhd, 1000, 1, 8, 64));
        let one_head =
            PagedKv::from_tensor(&[10, 16, 1, 64], &[1024, 64, 3, 1], TensorLayout::Alone(KvLayout::Nhd));
        assert_eq!(one_head.unwrap().kv, PagedKv::dense(KvLayout::Nhd, 10, 16, 1, 64));
        let one_page =
            PagedKv::from_tensor(&[1, 16, 8, 64], &[0, 512, 64, 1], TensorLayout::Alone(KvLayout::Nhd));
        assert_eq!(one_page.unwrap().kv, PagedKv::dense(KvLayout::Nhd, 1, 16, 8, 64));
    }

    #[test]
    fn tensors_that_are_none_of_the_layout_are_refused_by_name() {
        let shape = [100, 2, 16, 8, 128];
        let good = strides(shape, [0, 1, 2, 3, 4]);
        let with = |place: usize, stride: i64| {
            let mut strides = good;
            strides[place] = stride;
            refused(&shape, &strides, FLASHINFER)
        };
        assert!(PagedKv::from_tensor(&shape, &good, FLASHINFER).is_ok());
        assert_eq!(refused(&shape[1..], &good, FLASHINFER), "shape");
        assert_eq!(refused(&shape, &good[1..], FLASHINFER), "strides");
        assert_eq!(refused(&shape, &good, TensorLayout::Alone(KvLayout::Nhd)), "shape");
        assert_eq!(with(4, 2), "head_dim stride");
        assert_eq!(with(0, -32_768), "page stride");
        assert_eq!(with(1, 16_380), "value - key");
        assert_eq!(with(1, 16_376), "value - key");
        assert_eq!(with(2, 1020), "token stride");
        assert_eq!(with(2, i64::MIN), "token stride");
        assert_eq!(with(3, 0), "KV head stride");
        assert_eq!(with(0, 1 << 41), "kv.page_stride");
        let sized = |place: usize, size: i64| {
            let mut shape = shape;
            shape[place] = size;
            refused(&shape, &good, FLASHINFER)
        };
        assert_eq!(sized(0, 0), "pages");
        assert_eq!(sized(0, 1 << 33), "pages");
        assert_eq!(sized(1, 3), "keys and values");
        assert_eq!(sized(2, 12), "kv.page_size");
        assert_eq!(sized(3, -1), "kv_heads");
        assert_eq!(sized(4, 96), "kv.head_dim");
        // Tokens, or keys and values, one upon the other.
        assert_eq!(with(2, 512), "kv.token_stride");
        // NHD named HND: the tokens are too many for the heads' stride.
        assert_eq!(refused(&shape, &good, TensorLayout::KeysFirst(KvLayout::Nhd)), "keys and values");
    }

    #[test]
    fn keys_and_values_must_be_alike() {
        let shape = [100, 16, 8, 128];
        let (nhd, hnd) = (strides(shape, [0, 1, 2, 3]), strides(shape, [0, 2, 1, 3]));
        let pair = |value: &[i64]| PagedKv::from_pair((&shape, &nhd), (&shape, value), KvLayout::Nhd);
        assert_eq!(pair(&nhd), Ok(PagedKv::dense(KvLayout::Nhd, 100, 16, 8, 128)));
        let error = pair(&hnd).unwrap_err();
        assert_eq!(error.field, "values");
        assert!(error.actual.contains("token_stride: 128,"), "{error}");
        let fewer = [99, 16, 8, 128];
        let shapes = PagedKv::from_pair((&shape, &nhd), (&fewer, &nhd), KvLayout::Nhd);
        assert_eq!(shapes.unwrap_err().field, "values");
    }
}
