import dataclasses
from typing import Any

import dustin
import libraries
import numpy as np
import pytest
from conftest import HEAD_DIM, KV_HEADS, LENGTHS, PAGE_SIZE, PAGES, QUERY_HEADS, ROWS

pytestmark = libraries.each


def attend(paged, query=None, keys=None, values=None, **options):
    query = paged.query if query is None else query
    keys = paged.keys if keys is None else keys
    values = paged.values if values is None else values
    options = {"rows": ROWS, "out_dtype": "f32"} | options
    return paged.lib.attention(query, keys, values, paged.table, paged.lengths, paged.row_starts, **options)


def everything():
    return [list(range(length)) for length in LENGTHS]


def sets():
    tokens = [[0, 1, 40, 77, 120, 149], [3, 9, 36]]
    entries = np.full((2, 8), -1, np.int32)
    for row, chosen in zip(entries, tokens):
        row[: len(chosen)] = chosen
    return tokens, dustin.Sets(entries, np.array([6, 3], np.int32))


def test_full_attention_is_softmax_attention_over_all_tokens(paged):
    expected, lse = paged.attention(everything())
    result = attend(paged, lse=True)
    np.testing.assert_allclose(result.output, expected, atol=2e-3)
    np.testing.assert_allclose(result.lse, lse, atol=2e-3)


def test_sparse_attention_reads_the_sets_and_the_own_rows_alone(paged):
    tokens, chosen = sets()
    np.testing.assert_allclose(attend(paged, tokens=chosen).output, paged.attention(tokens)[0], atol=2e-3)


def test_sets_of_slots_are_those_of_positions(paged):
    tokens, chosen = sets()
    slots = chosen.entries.copy()
    for sequence, positions in enumerate(tokens):
        for i, position in enumerate(positions):
            page, token = paged.place(sequence, position)
            slots[sequence, i] = page * PAGE_SIZE + token
    physical = dustin.Sets(slots, chosen.sizes, slots=True)
    np.testing.assert_array_equal(attend(paged, tokens=physical).output, attend(paged, tokens=chosen).output)


def test_each_kv_head_may_have_a_set_of_its_own(paged):
    _, chosen = sets()
    entries = np.stack([chosen.entries, chosen.entries], axis=1)
    entries[:, 1, 0] = [5, 4]
    result = attend(paged, tokens=dustin.Sets(entries, np.array([[6, 6], [3, 3]], np.int32))).output
    other = paged.attention([[5, 1, 40, 77, 120, 149], [4, 9, 36]])[0]
    half = QUERY_HEADS // KV_HEADS
    np.testing.assert_allclose(result[:, :half], paged.attention(sets()[0])[0][:, :half], atol=2e-3)
    np.testing.assert_allclose(result[:, half:], other[:, half:], atol=2e-3)


def test_a_window_is_its_sinks_and_recent_tokens(paged):
    tokens = [[0, 1, *range(length - 5, length)] for length in LENGTHS]
    result = attend(paged, tokens=dustin.Window(sinks=2, recent=5)).output
    np.testing.assert_allclose(result, paged.attention(tokens)[0], atol=2e-3)


def test_a_tree_without_branches_is_causal(paged):
    masks = np.array([0b1, 0b11, 0b111] * 2, np.uint64)
    expected = paged.attention(everything())[0]
    np.testing.assert_allclose(attend(paged, masks=masks).output, expected, atol=2e-3)


def test_a_tree_hides_the_rows_that_its_masks_leave_out(paged):
    masks = np.array([0b1, 0b10, 0b101] * 2, np.int64)
    assert np.abs(attend(paged, masks=masks).output - attend(paged).output).max() > 1e-3


def test_both_layouts_and_interleaved_caches_give_the_same(paged):
    expected = attend(paged).output
    heads_first = [np.ascontiguousarray(cache.transpose(0, 2, 1, 3)) for cache in (paged.keys, paged.values)]
    result = attend(paged, keys=heads_first[0], values=heads_first[1], layout="HND").output
    np.testing.assert_array_equal(result, expected)
    both = np.stack([paged.keys, paged.values], axis=1)
    np.testing.assert_array_equal(attend(paged, keys=both[:, 0], values=both[:, 1]).output, expected)


def test_bits_of_bf16_are_taken_from_uint16(paged):
    def bits(items):
        return (items.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)

    def rounded(items):
        return (bits(items).astype(np.uint32) << 16).view(np.float32)

    caches = [bits(cache) for cache in (paged.keys, paged.values)]
    result = attend(paged, bits(paged.query), *caches, out_dtype="rounded").output
    assert result.dtype == np.uint16
    paged.keys, paged.values, paged.query = map(rounded, (paged.keys, paged.values, paged.query))
    as_float = (result.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_allclose(as_float, paged.attention(everything())[0], atol=2e-2)


def test_outputs_are_written_to_the_arrays_that_are_given(paged):
    output = np.zeros((2 * ROWS, 2 * QUERY_HEADS, HEAD_DIM), np.float16)[:, ::2]
    assert attend(paged, out=output, out_dtype="rounded").output is output
    np.testing.assert_allclose(output, paged.attention(everything())[0], atol=4e-3)


def test_rows_of_queries_may_have_gaps(paged):
    wide = np.full((2 * ROWS, QUERY_HEADS + 2, HEAD_DIM), np.nan, np.float16)
    wide[:, :QUERY_HEADS] = paged.query
    np.testing.assert_array_equal(attend(paged, wide[:, :QUERY_HEADS]).output, attend(paged).output)


@dataclasses.dataclass
class OnlyDlpack:
    array: Any

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_arrays_that_speak_dlpack_alone_are_read(paged):
    queries, keys, values = map(OnlyDlpack, (paged.query, paged.keys, paged.values))
    output = np.zeros(paged.query.shape, np.float32)
    attend(paged, queries, keys, values, out=output)
    np.testing.assert_array_equal(output, attend(paged).output)
    with pytest.raises(TypeError, match="out: must be given for arrays of type OnlyDlpack"):
        attend(paged, queries, keys, values)


def test_a_page_outside_the_cache_is_a_fault(paged):
    paged.table[1, 0] = PAGES
    with pytest.raises(dustin.FaultError, match="DUSTIN_FAULT_PAGE in sequence 1"):
        attend(paged)
    paged.table[1, 0] = 0
    attend(paged)  # a fault is reported once
