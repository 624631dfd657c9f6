"""Caches and tables as FlashInfer and vLLM keep them."""

from dataclasses import replace

import dustin
import libraries
import numpy as np
import pytest
from conftest import PAGE_SIZE, ROWS

LIBRARIES = pytest.mark.parametrize("lib", ["numpy", "torch-cpu"], indirect=True)

# Three sequences, of which the second has no page and the last page of the third is full.
CSR = dustin.CsrTables(
    indptr=np.array([0, 3, 3, 5], np.int32),
    indices=np.array([7, 2, 9, 4, 1], np.int32),
    last_page_len=np.array([5, 0, 16], np.int32),
)
TABLE = [[7, 2, 9, -1], [-1] * 4, [4, 1, -1, -1]]


@LIBRARIES
def test_compressed_rows_become_block_tables_and_come_back(lib):
    tables = lib.csr_to_block_tables(CSR, page_size=16, table_width=4)
    assert tables.block_table.tolist() == TABLE
    assert tables.lengths.tolist() == [37, 0, 32]
    again = lib.block_tables_to_csr(tables, page_size=16)
    assert again.indptr.tolist() == [0, 3, 3, 5]
    assert again.indices.tolist() == [7, 2, 9, 4, 1]
    assert again.last_page_len[[0, 2]].tolist() == [5, 16]


@LIBRARIES
def test_own_rows_have_room_in_compressed_rows_and_are_not_confirmed(lib):
    row_starts = np.array([0, 6, 6, 8], np.int32)
    tables = lib.csr_to_block_tables(CSR, page_size=16, table_width=4, row_starts=row_starts)
    # The first sequence's last own row is in its third page, and its confirmed tokens end in the second.
    assert tables.lengths.tolist() == [31, 0, 30]
    again = lib.block_tables_to_csr(tables, page_size=16, row_starts=row_starts)
    assert again.indptr.tolist() == CSR.indptr.tolist()
    assert again.indices.tolist() == CSR.indices.tolist()
    assert again.last_page_len[[0, 2]].tolist() == [5, 16]


def test_a_batch_is_filled_up_with_empty_sequences():
    tables = dustin.csr_to_block_tables(CSR, page_size=16, table_width=3, batch=5)
    assert tables.block_table.tolist() == [row[:3] for row in TABLE] + [[-1] * 3] * 2
    assert tables.lengths.tolist() == [37, 0, 32, 0, 0]


def test_tables_that_do_not_fit_are_refused():
    with pytest.raises(dustin.Error, match="DUSTIN_STATUS_INVALID_INPUT: .*table"):
        dustin.csr_to_block_tables(CSR, page_size=16, table_width=2)
    with pytest.raises(dustin.Error, match="DUSTIN_STATUS_INVALID_INPUT: .*page_size"):
        dustin.csr_to_block_tables(CSR, page_size=3, table_width=4)
    with pytest.raises(dustin.Error, match="DUSTIN_STATUS_INVALID_INPUT: .*last_page_len"):
        wrong = replace(CSR, last_page_len=np.array([17, 0, 1], np.int32))
        dustin.csr_to_block_tables(wrong, page_size=16, table_width=4)
    with pytest.raises(ValueError, match=r"indptr: the shape must be \[4\], not \[3\]"):
        dustin.csr_to_block_tables(replace(CSR, indptr=CSR.indptr[:3]), page_size=16, table_width=4)
    with pytest.raises(TypeError, match="indices: items must be i32, not i64"):
        wrong = replace(CSR, indices=CSR.indices.astype(np.int64))
        dustin.csr_to_block_tables(wrong, page_size=16, table_width=4)


def test_tables_on_a_gpu_are_refused():
    torch = libraries.torch_with_cuda()
    tables = dustin.BlockTables(*(torch.zeros(shape, dtype=torch.int32).cuda() for shape in ((1, 2), (1,))))
    with pytest.raises(ValueError, match="block_table: must lie in host memory"):
        dustin.block_tables_to_csr(tables, page_size=16)


@pytest.mark.parametrize(
    ("tensor", "make"),
    [
        ("keys_first", lambda keys, values: np.stack([keys, values])),
        ("pages_first", lambda keys, values: np.stack([keys, values], axis=1)),
        ("packed", lambda keys, values: np.concatenate([keys, values], axis=-1)),
    ],
)
@pytest.mark.parametrize("layout", ["NHD", "HND"])
def test_attention_reads_keys_and_values_of_one_tensor_where_they_lie(paged, tensor, make, layout):
    order = (0, 1, 2, 3) if layout == "NHD" else (0, 2, 1, 3)
    cache = make(paged.keys.transpose(order), paged.values.transpose(order))
    keys, values = dustin.split_cache(cache, tensor)
    assert np.shares_memory(keys, cache)
    assert np.shares_memory(values, cache)
    options = {"rows": ROWS, "layout": layout}
    places = (paged.table, paged.lengths, paged.row_starts)
    result = dustin.attention(paged.query, keys, values, *places, **options)
    expected = dustin.attention(paged.query, paged.keys, paged.values, *places, rows=ROWS)
    np.testing.assert_array_equal(result.output, expected.output)


def test_a_cache_that_is_not_what_is_said_of_it_is_refused():
    cache = np.zeros((4, 2, PAGE_SIZE, 2, 64), np.float16)
    with pytest.raises(ValueError, match="cache: must have five dimensions, of which number 0 is 2"):
        dustin.split_cache(cache, "keys_first")
    with pytest.raises(ValueError, match="cache: must have four dimensions"):
        dustin.split_cache(cache, "packed")
    with pytest.raises(
        ValueError, match="tensor: must be 'pages_first', 'keys_first' or 'packed', not 'heads'"
    ):
        dustin.split_cache(cache, "heads")
