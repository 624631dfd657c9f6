//! Whether vectors that are written lie apart.

use crate::{error::InvalidInput, kv::PagedKv, strides::span};

/// Checks on behalf of `operation` that no two head vectors of a cache, of any page, token and KV head, share an item. With
/// `value`, the distance in items from a key to its value, also that no key shares one with a value.
///
/// # Errors
/// The strides do not [nest](require_nested). So layouts that interleave in a stranger way are refused, even if nothing overlaps.
pub(crate) fn require_disjoint(
    operation: &'static str,
    kv: &PagedKv,
    value: Option<u64>,
) -> Result<(), InvalidInput> {
    let mut strides = vec![
        ("kv.page_stride", u64::from(kv.pages), kv.page_stride),
        ("kv.token_stride", u64::from(kv.page_size), kv.token_stride),
        ("kv.kv_head_stride", u64::from(kv.kv_heads), kv.kv_head_stride),
    ];
    strides.extend(value.map(|distance| ("value - key", 2, distance)));
    require_nested(operation, kv.head_dim.into(), strides)
}

/// Checks on behalf of `operation` that no two vectors of `width` items share one, where each of the `strides`, a name, a count
/// and a distance in items, repeats all that the others make of them.
///
/// # Errors
/// The strides do not nest: no order of them has each at least as large as all that the smaller ones span.
pub(crate) fn require_nested(
    operation: &'static str,
    mut width: u64,
    mut strides: Vec<(&'static str, u64, u64)>,
) -> Result<(), InvalidInput> {
    strides.retain(|&(_, count, _)| count > 1);
    strides.sort_by_key(|&(.., stride)| stride);
    for (field, count, stride) in strides {
        if stride < width {
            let required = format!("at least {width} items, which what lies within spans");
            return Err(InvalidInput::new(operation, field, required, stride));
        }
        width = span(count, stride, width);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::KvLayout;

    #[test]
    fn the_layouts_of_engines_are_disjoint_and_strides_that_overlap_are_named() {
        for layout in [KvLayout::Nhd, KvLayout::Hnd] {
            let kv = PagedKv::dense(layout, 10, 16, 8, 128);
            let page = kv.page_stride;
            // Two arrays, one behind the other; and pages of keys and values in turn.
            assert_eq!(require_disjoint("test", &kv, None), Ok(()));
            assert_eq!(require_disjoint("test", &kv, Some(10 * page)), Ok(()));
            let turns = PagedKv { page_stride: 2 * page, ..kv };
            assert_eq!(require_disjoint("test", &turns, Some(page)), Ok(()));

            let field = |kv, value| require_disjoint("test", &kv, value).unwrap_err().field;
            assert_eq!(field(kv, Some(page)), "value - key");
            assert_eq!(field(turns, Some(page - 8)), "value - key");
            assert_eq!(field(turns, Some(0)), "value - key");
            assert_eq!(field(PagedKv { page_stride: page - 8, ..kv }, None), "kv.page_stride");
            assert_eq!(field(PagedKv { token_stride: 120, ..kv }, None), "kv.token_stride");
            assert_eq!(field(PagedKv { kv_head_stride: 0, ..kv }, None), "kv.kv_head_stride");
        }
        // One token to a page, and one head: their strides say nothing.
        let one =
            PagedKv { token_stride: 0, kv_head_stride: 0, ..PagedKv::dense(KvLayout::Nhd, 9, 1, 1, 64) };
        assert_eq!(require_disjoint("test", &one, None), Ok(()));
    }
}
