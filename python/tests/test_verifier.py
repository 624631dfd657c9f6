import dustin
import libraries
import numpy as np
import pytest
from conftest import HEAD_DIM, KV_HEADS, LENGTHS, QUERY_HEADS, ROWS, TABLE_WIDTH

pytestmark = libraries.each

GEOMETRY = dustin.Geometry(
    layers=2,
    query_heads=QUERY_HEADS,
    kv_heads=KV_HEADS,
    head_dim=HEAD_DIM,
    hidden=256,
    intermediate=512,
    vocabulary=1000,
)
LIMITS = dustin.Limits(
    max_batch=2, max_total_tokens=187, max_length=16 * TABLE_WIDTH, rows=ROWS, gamma=2, slots=3
)
RULES = dustin.Rules(
    k=16,
    m=4,
    sinks=2,
    recent=3,
    target_heads=[dustin.LayerHeads(1, [0, 3])],
    draft_heads=[dustin.LayerHeads(0, [1])],
)
STARTS = np.array([0, 150, 187], np.int32)
SLOTS = np.array([2, 0], np.int32)


def engine(paged):
    """Two layers, of which the second has the caches the other way round."""
    return dustin.Model(GEOMETRY, [paged.keys, paged.values], [paged.values.copy(), paged.keys.copy()])


def make(paged, **options):
    model = engine(paged)
    return paged.lib.Verifier(model, dustin.Draft(model), LIMITS, options.pop("rules", RULES), **options)


def step_of(verifier, paged):
    arrays = (paged.lengths, paged.row_starts, paged.table, STARTS)
    tables = {"draft_lengths": paged.lengths, "draft_block_table": paged.table}
    return verifier.step(*arrays, slots=SLOTS, **tables)


@pytest.fixture
def queries():
    """Of each sequence one row for the target, and one for each of the draft's two forwards."""
    return np.random.default_rng(9).standard_normal((3, 2, QUERY_HEADS, HEAD_DIM)).astype(np.float16)


def gathered(verifier, step, queries):
    """Runs a step up to its sets."""
    one_row = np.array([0, 1, 2], np.int32)
    verifier.capture_target(1, step, queries[0], one_row, slots=SLOTS)
    for token in range(2):
        verifier.capture_draft(0, token, step, queries[1 + token], one_row)
    verifier.score_target(step)
    verifier.score_draft(step)
    verifier.select(step)


def test_maps_are_those_that_score_gathers(paged, queries):
    verifier = make(paged)
    step = step_of(verifier, paged)
    gathered(verifier, step, queries)
    shared = {"query_heads": QUERY_HEADS, "map_capacity": 187}
    target = dustin.ScoreLayer(np.ascontiguousarray(queries[0][:, None, [0, 3]]), paged.values, [0, 3])
    expected = paged.lib.score([target], paged.table, paged.lengths, STARTS, **shared)
    np.testing.assert_allclose(step.target_map, expected, atol=1e-6)
    draft = dustin.ScoreLayer(
        np.ascontiguousarray(queries[1:, :, [1]].transpose(1, 0, 2, 3)), paged.keys, [1]
    )
    expected = paged.lib.score([draft], paged.table, paged.lengths, STARTS, **shared)
    np.testing.assert_allclose(step.draft_map, expected, atol=1e-6)


def test_sets_are_those_that_select_chooses(paged, queries):
    verifier = make(paged)
    step = step_of(verifier, paged)
    gathered(verifier, step, queries)
    rules = {"budget": 16, "quota": 4, "sinks": 2, "recent": 3}
    expected = paged.lib.select(paged.lengths, STARTS, target=step.target_map, draft=step.draft_map, **rules)
    np.testing.assert_array_equal(step.set, expected.set)
    np.testing.assert_array_equal(step.set_sizes, [16, 16])


def test_a_layer_appends_its_rows_and_attends_to_its_set(paged, queries):
    verifier = make(paged, lse=True)
    step = step_of(verifier, paged)
    gathered(verifier, step, queries)
    own = np.random.default_rng(13).standard_normal((2, 2 * ROWS, KV_HEADS, HEAD_DIM)).astype(np.float16)
    # Layer 0 keeps its keys in the array of the fixture, its values in a copy of the other.
    verifier.append(0, step, *own)
    for row in range(2 * ROWS):
        place = paged.place(row // ROWS, LENGTHS[row // ROWS] + row % ROWS)
        np.testing.assert_array_equal(paged.keys[place], own[0][row])
        paged.values[place] = own[1][row]
    tokens = [row.tolist() for row in step.set]
    output = np.zeros(paged.query.shape, np.float32)
    result = verifier.attention(0, step, paged.query, out=output)
    expected, lse = paged.attention(tokens)
    np.testing.assert_allclose(output, expected, atol=2e-3)
    np.testing.assert_allclose(result.lse, lse, atol=2e-3)
    full = verifier.attention(0, step, paged.query, full=True).output
    expected = paged.attention([list(range(length)) for length in LENGTHS])[0]
    np.testing.assert_allclose(full, expected, atol=4e-3)


def test_accepted_rows_of_a_tree_move_up_in_all_layers(paged):
    model = engine(paged)
    verifier = paged.lib.Verifier(model, dustin.Draft(model), LIMITS, RULES, mask="tree")
    masks = np.array([0b1, 0b11, 0b101] * 2, np.uint64)
    step = verifier.step(paged.lengths, paged.row_starts, paged.table, STARTS, slots=SLOTS, masks=masks)
    caches = [*model.keys, *model.values]
    expected = [cache.copy() for cache in caches]
    for cache in expected:
        cache[paged.place(0, LENGTHS[0] + 1)] = cache[paged.place(0, LENGTHS[0] + 2)]
    accepted = np.array([[0, 2, -1], [0, -1, -1]], np.int32)
    verifier.compact(step, accepted, np.array([2, 1], np.int32))
    np.testing.assert_array_equal(caches, expected)


def test_captured_heads_are_listed_and_each_stage_is_reported(paged):
    verifier = make(paged)
    assert verifier.captured() == [dustin.LayerHeads(1, [0, 3])]
    assert verifier.captured(draft=True) == [dustin.LayerHeads(0, [1])]
    assert verifier.target_queries.shape == (3, 1, 2, HEAD_DIM)
    assert verifier.draft_queries.shape == (3, 2, 1, HEAD_DIM)
    assert "selection" in verifier.report


def test_a_target_without_a_draft_has_no_drafts_map(paged, queries):
    rules = dustin.Rules(k=16, target_heads=[dustin.LayerHeads(1, [0, 3])])
    verifier = paged.lib.Verifier(engine(paged), None, LIMITS, rules)
    step = verifier.step(paged.lengths, paged.row_starts, paged.table, STARTS, slots=SLOTS)
    assert verifier.draft_queries is None
    assert step.draft_map is None
    with pytest.raises(dustin.Error, match="DUSTIN_STATUS_INVALID_INPUT"):
        verifier.score_draft(step)


def test_what_does_not_fit_together_is_refused(paged):
    with pytest.raises(dustin.Error, match="DUSTIN_STATUS_INVALID_INPUT"):
        make(paged, rules=dustin.Rules(k=16, target_heads=[dustin.LayerHeads(7, [0])]))
    with pytest.raises(ValueError, match="mask: must be one of causal, tree, not 'bush'"):
        make(paged, mask="bush")
    with pytest.raises(ValueError, match="target.values: must have a cache for each layer"):
        paged.lib.Verifier(dustin.Model(GEOMETRY, [paged.keys]), None, LIMITS, RULES)
    verifier = make(paged)
    step = step_of(verifier, paged)
    with pytest.raises(ValueError, match=r"query: the shape must be \[6, any, 64\], not \[5, 4, 64\]"):
        verifier.attention(0, step, paged.query[:5])
    with pytest.raises(ValueError, match="lse: the verifier was made without it"):
        verifier.attention(0, step, paged.query, lse=np.zeros((6, 4), np.float32))


def test_a_pair_needs_a_profile_that_knows_it(paged):
    with pytest.raises(dustin.Error, match="DUSTIN_STATUS_INVALID_INPUT"):
        make(paged, rules=dustin.Pair("target", "draft"))


def test_faults_name_stage_and_sequence(paged, queries):
    verifier = make(paged)
    step = step_of(verifier, paged)
    paged.lengths[1] = -1
    with pytest.raises(dustin.FaultError, match="target_score: DUSTIN_FAULT_LENGTH in sequence 1"):
        verifier.score_target(step)
    paged.lengths[1] = LENGTHS[1]
    verifier.score_target(step)


def test_a_closed_verifier_is_no_handle(paged):
    verifier = make(paged)
    step = step_of(verifier, paged)
    verifier.close()
    with pytest.raises(dustin.Error, match="DUSTIN_STATUS_NO_SUCH_HANDLE"):
        verifier.score_target(step)
