import dustin
import libraries
import numpy as np
import pytest
from conftest import HEAD_DIM, KV_HEADS, LENGTHS, PAGE_SIZE, PAGES, QUERY_HEADS, softmax

pytestmark = libraries.each

STARTS = np.array([0, 150, 187], np.int32)
HEADS = [0, 3]


@pytest.fixture
def captured():
    """Queries of two captured tokens."""
    return np.random.default_rng(3).standard_normal((2, 2, len(HEADS), HEAD_DIM)).astype(np.float16)


def reference(paged, captured, weights):
    parts = []
    for sequence, length in enumerate(LENGTHS):
        keys = paged.read(paged.keys, sequence, list(range(length)))
        part = np.zeros(length)
        for i, head in enumerate(HEADS):
            for query in captured[sequence, :, i].astype(np.float64):
                part += weights[i] * softmax(
                    keys[:, head // (QUERY_HEADS // KV_HEADS)] @ query / np.sqrt(HEAD_DIM)
                )
        parts.append(part)
    return np.concatenate(parts)


def gather(paged, layers, **options):
    return paged.lib.score(layers, paged.table, paged.lengths, STARTS, query_heads=QUERY_HEADS, **options)


def test_a_map_is_the_mean_of_probabilities(paged, captured):
    result = gather(paged, [dustin.ScoreLayer(captured, paged.keys, HEADS)], map_capacity=187)
    np.testing.assert_allclose(result, reference(paged, captured, [0.25, 0.25]), atol=1e-5)


def test_weights_and_accumulation_add_up(paged, captured):
    layer = dustin.ScoreLayer(captured, paged.keys, HEADS, weights=[0.5, 2.0])
    start = np.ones(187, np.float32)
    result = gather(paged, [layer], out=start, accumulate=True)
    assert result is start
    np.testing.assert_allclose(result, 1 + reference(paged, captured, [0.5, 2.0]), atol=1e-5)


def test_the_mean_goes_over_several_layers(paged, captured):
    other = np.ascontiguousarray(captured[:, ::-1, ::-1])
    layers = [dustin.ScoreLayer(one, paged.keys, HEADS) for one in (captured, other)]
    expected = (reference(paged, captured, [0.25] * 2) + reference(paged, other, [0.25] * 2)) / 2
    np.testing.assert_allclose(gather(paged, layers, map_capacity=187), expected, atol=1e-5)


def test_slots_say_whose_queries_are_read(paged, captured):
    swapped = np.ascontiguousarray(captured[::-1])
    layer = dustin.ScoreLayer(swapped, paged.keys, HEADS)
    result = gather(paged, [layer], map_capacity=187, slots=np.array([1, 0], np.int32))
    np.testing.assert_allclose(result, reference(paged, captured, [0.25, 0.25]), atol=1e-5)


@pytest.fixture
def maps():
    # Few different values: ties everywhere.
    return np.random.default_rng(5).integers(0, 40, (2, 187)).astype(np.float32)


def best(part, count, taken):
    free = [position for position in range(len(part)) if position not in taken]
    return set(sorted(free, key=lambda position: (-part[position], position))[:count])


def choose(target, draft, budget, quota, sinks, recent):
    result = []
    for start, length in zip(STARTS, LENGTHS):
        taken = set(range(min(sinks, length))) | set(range(max(length - recent, 0), length))
        if length <= budget:
            taken = set(range(length))
        taken |= best(draft[start : start + length], min(quota, budget - len(taken)), taken)
        taken |= best(target[start : start + length], budget - len(taken), taken)
        result.append(sorted(taken))
    return result


def test_a_set_has_sinks_and_recent_tokens_and_the_best_of_both_maps(paged, maps):
    options = {"budget": 32, "quota": 10, "sinks": 2, "recent": 5}
    result = paged.lib.select(paged.lengths, STARTS, target=maps[0], draft=maps[1], **options)
    for row, size, expected in zip(result.set, result.sizes, choose(*maps, 32, 10, 2, 5)):
        assert row[:size].tolist() == expected
        assert (row[size:] == -1).all()


def test_a_sequence_below_the_budget_is_taken_whole(paged, maps):
    result = paged.lib.select(paged.lengths, STARTS, budget=64, target=maps[0])
    assert result.sizes.tolist() == [64, 37]
    assert result.set[1, :37].tolist() == list(range(37))


def test_short_sequences_get_the_flag_everything(paged, maps):
    assert paged.lib.select(
        paged.lengths, STARTS, budget=16, target=maps[0], everything=40
    ).sizes.tolist() == [
        16,
        -1,
    ]


def test_without_maps_a_set_is_a_window(paged):
    result = paged.lib.select(paged.lengths, STARTS, budget=8, sinks=2, recent=6)
    assert result.set[0].tolist() == [0, 1, *range(144, 150)]


def test_positions_are_looked_up_in_the_block_table(paged, maps):
    table = {"block_table": paged.table, "pages": PAGES, "page_size": PAGE_SIZE}
    result = paged.lib.select(paged.lengths, STARTS, budget=16, target=maps[0], **table)
    places = [paged.place(0, position) for position in result.set[0]]
    assert result.physical[0].tolist() == [page * PAGE_SIZE + token for page, token in places]


def test_score_select_and_attention_find_a_needle_together(paged, captured):
    needle = paged.place(0, 77)
    for i, head in enumerate(HEADS):
        captured[0, :, i] = 3 * paged.keys[needle][head // (QUERY_HEADS // KV_HEADS)]
    scores = gather(paged, [dustin.ScoreLayer(captured, paged.keys, HEADS)], map_capacity=187)
    chosen = paged.lib.select(paged.lengths, STARTS, budget=8, target=scores)
    assert 77 in chosen.set[0]
    sets = dustin.Sets(chosen.set, chosen.sizes)
    caches = (paged.keys, paged.values, paged.table, paged.lengths, paged.row_starts)
    result = paged.lib.attention(paged.query, *caches, rows=3, tokens=sets, out_dtype="f32")
    tokens = [row[:size].tolist() for row, size in zip(chosen.set, chosen.sizes)]
    np.testing.assert_allclose(result.output, paged.attention(tokens)[0], atol=2e-3)
