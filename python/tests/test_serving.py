"""What engines do with a verifier: sequences that come, go and change places, prompts, needles, and ranks."""

import dataclasses

import dustin
import libraries
import numpy as np
import pytest
from conftest import HEAD_DIM, KV_HEADS, LENGTHS, PAGE_SIZE, PAGES, QUERY_HEADS, ROWS, softmax
from test_verifier import LIMITS, RULES, SLOTS, STARTS, engine, gathered, make, step_of

each_library = libraries.each
TARGET_HEADS = [0, 3]
ONE_ROW = np.array([0, 1, 2], np.int32)


@pytest.fixture
def queries():
    """Of each sequence one row for the target, and one for each of the draft's two forwards."""
    return np.random.default_rng(9).standard_normal((3, 2, QUERY_HEADS, HEAD_DIM)).astype(np.float16)


def probabilities(paged, sequence, query):
    """Of confirmed tokens in the caches of the target's layer 1, the mean of its heads, in float64."""
    keys = paged.read(paged.values, sequence, list(range(LENGTHS[sequence])))
    heads = [
        softmax(keys[:, head * KV_HEADS // QUERY_HEADS] @ query[head].astype(np.float64) / np.sqrt(HEAD_DIM))
        for head in TARGET_HEADS
    ]
    return np.mean(heads, axis=0)


@each_library
def test_the_attention_that_a_set_gets_is_the_maps_sum_over_it(paged, queries):
    verifier = make(paged)
    step = step_of(verifier, paged)
    gathered(verifier, step, queries)
    for sequence, chosen in enumerate(step.set):
        mass = probabilities(paged, sequence, queries[0, sequence])[chosen].sum()
        part = np.asarray(step.target_map, np.float64)[STARTS[sequence] : STARTS[sequence + 1]]
        assert 0.1 < mass < 1
        assert part[chosen].sum() == pytest.approx(mass, abs=1e-4)


@each_library
def test_needles_whose_logits_are_6_above_the_background_are_all_chosen(paged, queries):
    generator = np.random.default_rng(19)
    needles = []
    for sequence, length in enumerate(LENGTHS):
        places = sorted(generator.choice(np.arange(2, length - 3), 5, replace=False).tolist())
        needles.append(places)
        keys = paged.read(paged.values, sequence, list(range(length)))
        for head in TARGET_HEADS:
            of, query = head * KV_HEADS // QUERY_HEADS, queries[0, sequence, head].astype(np.float64)
            logits = keys[:, of] @ query / np.sqrt(HEAD_DIM)
            background = np.delete(logits, places).max()
            needle = query * (background + 6.05) * np.sqrt(HEAD_DIM) / (query @ query)
            for place in places:
                paged.values[paged.place(sequence, place)][of] = needle
            again = paged.read(paged.values, sequence, places)[:, of] @ query / np.sqrt(HEAD_DIM)
            assert (again >= background + 6).all()
    verifier = make(paged)
    step = step_of(verifier, paged)
    gathered(verifier, step, queries)
    for chosen, places in zip(step.set, needles):
        assert set(places) <= set(chosen.tolist())


def parts(step):
    """The target's map of each sequence, its set, and how large that is."""
    return [
        (step.target_map[start:end].tobytes(), chosen.tobytes(), int(size))
        for start, end, chosen, size in zip(STARTS, STARTS[1:], step.set, step.set_sizes)
    ]


@pytest.fixture
def arrays(paged):
    """The arrays of a step that reads the target's map alone, which tests fill anew."""
    return {
        "lengths": paged.lengths,
        "row_starts": paged.row_starts,
        "block_table": paged.table,
        "map_starts": STARTS.copy(),
        "slots": SLOTS.copy(),
    }


def target_only(paged, **changed):
    rules = dataclasses.replace(RULES, m=0, draft_heads=(), **changed)
    return paged.lib.Verifier(engine(paged), None, LIMITS, rules)


def estimate(verifier, step):
    verifier.score_target(step)
    verifier.select(step)
    return parts(step)


@each_library
def test_sequences_change_places_leave_and_join_with_what_is_theirs(paged, queries, arrays):
    verifier = target_only(paged)
    step = verifier.step(**arrays)
    verifier.capture_target(1, step, queries[0], ONE_ROW, slots=arrays["slots"])
    first, second = estimate(verifier, step)
    lengths, tables = paged.lengths.copy(), paged.table.copy()

    # They change places, and what the map has of them with them.
    for name, swapped in (("lengths", lengths), ("block_table", tables), ("slots", SLOTS)):
        arrays[name][...] = swapped[::-1]
    arrays["map_starts"][...] = [0, lengths[1], lengths.sum()]
    verifier.score_target(step)
    verifier.select(step)
    half = lengths[1]
    assert (step.target_map[:half].tobytes(), step.set[0].tobytes()) == second[:2]
    assert (step.target_map[half:].tobytes(), step.set[1].tobytes()) == first[:2]

    # The second leaves.
    for name, before in (("lengths", [0, lengths[0]]), ("slots", [-1, SLOTS[0]])):
        arrays[name][...] = before
    arrays["row_starts"][...] = [0, 0, ROWS]
    arrays["map_starts"][...] = [0, 0, lengths[0]]
    verifier.score_target(step)
    verifier.select(step)
    assert (step.target_map[: lengths[0]].tobytes(), step.set[1].tobytes()) == first[:2]
    assert step.set_sizes.tolist() == [0, 16]

    # It joins again, in another slot.
    arrays["lengths"][0], arrays["slots"][0] = lengths[1], 1
    arrays["row_starts"][...] = [0, ROWS, 2 * ROWS]
    arrays["map_starts"][...] = [0, lengths[1], lengths.sum()]
    one_slot = np.array([1, -1], np.int32)
    verifier.capture_target(1, step, queries[0, ::-1].copy(), ONE_ROW, slots=one_slot)
    verifier.score_target(step)
    verifier.select(step)
    assert (step.target_map[:half].tobytes(), step.set[0].tobytes()) == second[:2]
    assert (step.target_map[half:].tobytes(), step.set[1].tobytes()) == first[:2]


@each_library
def test_a_sequence_without_a_slot_has_everything_read_or_what_the_draft_says(paged, queries, arrays):
    verifier = target_only(paged)
    step = verifier.step(**arrays)
    verifier.capture_target(1, step, queries[0], ONE_ROW, slots=arrays["slots"])
    expected = estimate(verifier, step)
    arrays["slots"][1] = -1
    assert estimate(verifier, step)[0] == expected[0]
    assert step.set_sizes.tolist() == [16, -1]

    rules = dataclasses.replace(RULES, without_target="draft")
    verifier = make(paged, rules=rules)
    step = step_of(verifier, paged)
    gathered(verifier, step, queries)
    draft = step.draft_map[STARTS[1] : STARTS[2]]
    tables = {"draft_lengths": paged.lengths, "draft_block_table": paged.table}
    step = verifier.step(
        *(arrays[name] for name in ("lengths", "row_starts", "block_table", "map_starts")),
        slots=arrays["slots"],
        **tables,
    )
    gathered(verifier, step, queries)
    around = {0, 1, *range(LENGTHS[1] - 3, LENGTHS[1])}
    ranked = [at for at in sorted(range(LENGTHS[1]), key=lambda at: (-draft[at], at)) if at not in around]
    size = int(step.set_sizes[1])
    assert 0 < size <= 16
    assert step.set[1, :size].tolist() == sorted(around | set(ranked[: size - len(around)]))


@each_library
def test_a_slot_that_there_is_not_is_a_fault(paged, queries, arrays):
    verifier = target_only(paged)
    step = verifier.step(**arrays)
    arrays["slots"][0] = LIMITS.slots
    with pytest.raises(dustin.FaultError, match="target_score: DUSTIN_FAULT_SLOT in sequence 0"):
        verifier.score_target(step)
    with pytest.raises(dustin.FaultError, match="target_capture: DUSTIN_FAULT_SLOT in sequence 0"):
        verifier.capture_target(1, step, queries[0], ONE_ROW, slots=arrays["slots"])


@each_library
def test_behind_a_prompt_its_last_row_is_captured(paged):
    verifier = make(paged)
    step = step_of(verifier, paged)
    generator = np.random.default_rng(23)
    prompt = generator.standard_normal((5 + 9, QUERY_HEADS, HEAD_DIM)).astype(np.float16)
    verifier.capture_target(1, step, prompt, np.array([0, 5, 14], np.int32), slots=SLOTS)
    taken = verifier.target_queries
    np.testing.assert_array_equal(taken[2, 0], prompt[4, TARGET_HEADS])
    np.testing.assert_array_equal(taken[0, 0], prompt[13, TARGET_HEADS])
    assert not taken[1].any()
    # Behind a step it is the last one that was accepted.
    rows = {"rows": np.array([1, 0], np.int32), "slots": SLOTS}
    verifier.capture_target(1, step, prompt[:6], np.array([0, 3, 6], np.int32), **rows)
    np.testing.assert_array_equal(verifier.target_queries[[2, 0], 0], prompt[[1, 3]][:, TARGET_HEADS])


@each_library
def test_the_drafts_forwards_are_captured_one_by_one(paged, queries):
    verifier = make(paged)
    step = step_of(verifier, paged)
    for token in range(2):
        verifier.capture_draft(0, token, step, queries[1 + token], ONE_ROW)
    taken = verifier.draft_queries
    for sequence in range(2):
        np.testing.assert_array_equal(taken[sequence], queries[1:, sequence, [1]])
    assert not taken[2].any()
    with pytest.raises(dustin.Error, match="DUSTIN_STATUS_INVALID_INPUT: .*token"):
        verifier.capture_draft(0, 2, step, queries[1], ONE_ROW)


MODEL = dustin.Geometry(
    layers=1, query_heads=16, kv_heads=8, head_dim=64, hidden=256, intermediate=512, vocabulary=100
)
SHARED = dustin.Rules(
    k=32,
    m=8,
    sinks=2,
    recent=4,
    target_heads=[dustin.LayerHeads(0, [0, 3, 5, 9, 14])],
    draft_heads=[dustin.LayerHeads(0, [1, 2, 12])],
)


def steps_of_ranks(paged, ranks):
    """Each rank's verifier and step, with its own heads captured from the same queries."""
    generator = np.random.default_rng(47)
    keys, values = generator.standard_normal((2, PAGES, PAGE_SIZE, 8, 64)).astype(np.float16)
    queries = generator.standard_normal((3, 2, 16, 64)).astype(np.float16)
    made = []
    for rank in range(ranks):
        kv = slice(rank * 8 // ranks, (rank + 1) * 8 // ranks)
        own = np.ascontiguousarray(queries[:, :, kv.start * 2 : kv.stop * 2])
        model = dustin.Model(MODEL, [keys[:, :, kv]], [values[:, :, kv]], tp_size=ranks, tp_rank=rank)
        verifier = dustin.Verifier(model, dustin.Draft(model), LIMITS, SHARED)
        arrays = (paged.lengths, paged.row_starts, paged.table, STARTS)
        tables = {"draft_lengths": paged.lengths, "draft_block_table": paged.table}
        step = verifier.step(*arrays, slots=SLOTS, **tables)
        if verifier.captured():
            verifier.capture_target(0, step, own[0], ONE_ROW, slots=SLOTS)
        for token in range(2) if verifier.captured(draft=True) else ():
            verifier.capture_draft(0, token, step, own[1 + token], ONE_ROW)
        verifier.score_target(step)
        verifier.score_draft(step)
        made.append((verifier, step))
    return made


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_ranks_that_sum_their_maps_choose_the_same_sets(paged, ranks):
    ((alone, whole),) = steps_of_ranks(paged, 1)
    alone.select(whole)
    shares = steps_of_ranks(paged, ranks)
    heads = [rank * 16 // ranks + head for rank, (one, _) in enumerate(shares) for head in heads_of(one)]
    assert heads == [0, 3, 5, 9, 14]
    for name in ("target_map", "draft_map"):
        summed = sum((getattr(step, name) for _, step in shares), np.zeros(187, np.float32))
        np.testing.assert_allclose(summed, getattr(whole, name), atol=1e-6)
        for _, step in shares:
            getattr(step, name)[...] = summed
    for verifier, step in shares:
        verifier.select(step)
        assert step.set.tobytes() == shares[0][1].set.tobytes()
        np.testing.assert_array_equal(step.set, whole.set)
    with pytest.raises(dustin.Error, match="tp_size must be a divisor of the 16 query and 8 KV heads"):
        steps_of_ranks(paged, 3)


def heads_of(verifier):
    return [head for layer in verifier.captured() for head in layer.heads]
