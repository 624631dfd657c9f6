import libraries
import numpy as np
import pytest
from conftest import HEAD_DIM, KV_HEADS, LENGTHS, QUERY_HEADS, ROWS

pytestmark = libraries.each


@pytest.fixture
def own():
    return np.random.default_rng(11).standard_normal((2, 2 * ROWS, KV_HEADS, HEAD_DIM)).astype(np.float16)


def test_own_rows_are_written_behind_the_confirmed_tokens_and_nowhere_else(paged, own):
    expected = [paged.keys.copy(), paged.values.copy()]
    for cache, items in zip(expected, own):
        for row in range(2 * ROWS):
            sequence, number = divmod(row, ROWS)
            cache[paged.place(sequence, LENGTHS[sequence] + number)] = items[row]
    paged.lib.append(*own, paged.keys, paged.values, paged.table, paged.lengths, paged.row_starts, rows=ROWS)
    np.testing.assert_array_equal(paged.keys, expected[0])
    np.testing.assert_array_equal(paged.values, expected[1])


def test_queries_are_copied_in_the_same_launch(paged, own):
    copy = np.zeros((2 * ROWS, QUERY_HEADS, HEAD_DIM), np.float16)
    caches = (paged.keys, paged.values, paged.table, paged.lengths, paged.row_starts)
    paged.lib.append(*own, *caches, rows=ROWS, query=paged.query, query_copy=copy)
    np.testing.assert_array_equal(copy, paged.query)


def test_keys_may_be_a_part_of_the_projections_output(paged, own):
    fused = np.concatenate([own[0], own[1]], axis=1)
    keys, values = fused[:, :KV_HEADS], fused[:, KV_HEADS:]
    paged.lib.append(
        keys, values, paged.keys, paged.values, paged.table, paged.lengths, paged.row_starts, rows=ROWS
    )
    np.testing.assert_array_equal(paged.values[paged.place(0, LENGTHS[0])], own[1][0])


@pytest.mark.parametrize("counted", [False, True])
def test_accepted_rows_move_up_in_all_layers(paged, counted):
    layers = [[paged.keys.copy(), paged.values.copy()], [paged.values.copy(), paged.keys.copy()]]
    expected = [[cache.copy() for cache in layer] for layer in layers]
    for layer in expected:
        for cache in layer:
            cache[paged.place(0, LENGTHS[0] + 1)] = cache[paged.place(0, LENGTHS[0] + 2)]
    caches = paged.lib.Caches([layer[0] for layer in layers], [layer[1] for layer in layers])
    accepted = np.array([[0, 2, -1], [0, -1, -1]], np.int32)
    counts = np.array([2, 1], np.int32) if counted else None
    step = (paged.table, paged.lengths, paged.row_starts)
    paged.lib.compact(caches, accepted, *step, rows=ROWS, total_rows=2 * ROWS, counts=counts)
    np.testing.assert_array_equal(layers, expected)


def test_caches_of_different_strides_are_refused(paged):
    other = paged.keys.transpose(0, 2, 1, 3).copy().transpose(0, 2, 1, 3)
    with pytest.raises(ValueError, match=r"keys\[1\]: the strides must be those of keys\[0\]"):
        paged.lib.Caches([paged.keys, other], [paged.values, paged.values])
