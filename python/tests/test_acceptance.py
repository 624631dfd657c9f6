import dataclasses

import dustin
import libraries
import numpy as np
import pytest
from conftest import HEAD_DIM, LENGTHS, QUERY_HEADS, ROWS
from test_verifier import GEOMETRY, LIMITS, RULES, STARTS, engine, step_of

pytestmark = libraries.each

VOCABULARY = 7
PARENTS = np.array([-1, 0, 0] * 2, np.int32)


def make(paged, mask="causal", acceptance=None, limits=LIMITS, rules=RULES):
    geometry = dataclasses.replace(GEOMETRY, vocabulary=VOCABULARY)
    target = dataclasses.replace(engine(paged), geometry=geometry)
    acceptance = acceptance or dustin.Acceptance()
    draft = dustin.Draft(target) if rules.m else None
    return paged.lib.Verifier(target, draft, limits, rules, mask=mask, acceptance=acceptance)


def tree_step(verifier, paged):
    masks = np.array([0b1, 0b11, 0b101] * 2, np.uint64)
    tables = {"draft_lengths": paged.lengths, "draft_block_table": paged.table}
    arrays = (paged.lengths, paged.row_starts, paged.table, STARTS)
    return verifier.step(*arrays, slots=np.array([2, 0], np.int32), masks=masks, **tables)


@pytest.fixture
def scores():
    return np.random.default_rng(17).standard_normal((2 * ROWS, VOCABULARY)).astype(np.float32)


def walk(scores, tokens, parents):
    """The rows and tokens that a greedy sequence keeps."""
    path, emitted = [0], [int(scores[0].argmax())]
    while True:
        children = [
            row for row in range(len(tokens)) if parents[row] == path[-1] and tokens[row] == emitted[-1]
        ]
        if not children:
            return path, emitted
        path.append(children[0])
        emitted.append(int(scores[children[0]].argmax()))


def padded(lists):
    return [one + [-1] * (ROWS - len(one)) for one in lists]


def accept(verifier, step, scores, tokens, temperature=0.0, taken=None, **options):
    batch = verifier.limits.max_batch
    arrays = (np.full(batch, temperature, np.float32), np.arange(batch, dtype=np.uint64) + 1000)
    taken = np.zeros(1, np.uint64) if taken is None else taken
    return verifier.accept(step, scores, tokens, *arrays, taken, **options)


@pytest.mark.parametrize("mask", ["causal", "tree"])
def test_greedy_sequences_keep_what_the_target_would_have_said(paged, scores, mask):
    verifier = make(paged, mask)
    step = step_of(verifier, paged) if mask == "causal" else tree_step(verifier, paged)
    parents = [-1, 0, 1] if mask == "causal" else [-1, 0, 0]
    best = scores.argmax(axis=1)
    # The first sequence keeps all it can; the second's first draft is wrong, and in a chain ends it.
    tokens = np.zeros(2 * ROWS, np.int32)
    tokens[1:3] = best[:2] if mask == "causal" else [(best[0] + 1) % VOCABULARY, best[0]]
    tokens[4:6] = [(best[3] + 1) % VOCABULARY, best[3]]
    kept = [walk(scores[at : at + ROWS], tokens[at : at + ROWS], parents) for at in (0, ROWS)]
    options = {"parents": PARENTS} if mask == "tree" else {}
    taken = np.zeros(1, np.uint64)
    result = accept(verifier, step, scores, tokens, taken=taken, **options)
    assert result.path.tolist() == padded([path for path, _ in kept])
    assert result.tokens.tolist() == padded([emitted for _, emitted in kept])
    assert result.counts.tolist() == [len(path) - 1 for path, _ in kept]
    assert result.last_rows.tolist() == [path[-1] for path, _ in kept]
    assert result.lengths.tolist() == [length + len(path) for length, (path, _) in zip(LENGTHS, kept)]
    assert taken.tolist() == [1]
    assert [len(path) for path, _ in kept] == ([3, 1] if mask == "causal" else [2, 2])


def test_a_path_is_what_compaction_and_capture_take(paged, scores):
    verifier = make(paged, "tree")
    step = tree_step(verifier, paged)
    best = scores.argmax(axis=1)
    tokens = np.array([0, (best[0] + 1) % VOCABULARY, best[0], 0, -1, -1], np.int32) % VOCABULARY
    tokens[4:] = (best[3] + 1) % VOCABULARY
    result = accept(verifier, step, scores, tokens, parents=PARENTS)
    assert result.path.tolist() == [[0, 2, -1], [0, -1, -1]]

    expected = paged.keys.copy()
    expected[paged.place(0, LENGTHS[0] + 1)] = expected[paged.place(0, LENGTHS[0] + 2)]
    verifier.compact(step, result.path)
    np.testing.assert_array_equal(paged.keys, expected)

    query = np.random.default_rng(19).standard_normal((2 * ROWS, QUERY_HEADS, HEAD_DIM)).astype(np.float16)
    slots = np.array([2, 0], np.int32)
    verifier.capture_target(1, step, query, paged.row_starts, rows=result.last_rows, slots=slots)
    captured = verifier.target_queries
    np.testing.assert_array_equal(captured[2, 0], query[2, [0, 3]])
    np.testing.assert_array_equal(captured[0, 0], query[ROWS, [0, 3]])
    assert not captured[1].any()


BATCH, LAUNCHES = 1000, 20
# Of the target behind the pending token and behind the first draft, and of the draft behind the pending token.
TARGET = np.array([[0.3, 0.05, 0.2, 0.1, 0.15, 0.0, 0.2], [0.05, 0.4, 0.05, 0.1, 0.2, 0.2, 0.0]])
DRAFT = np.array([0.1, 0.3, 0.1, 0.25, 0.0, 0.2, 0.05])


def many(paged, mask, acceptance):
    """A verifier and a step of many short sequences, which share their pages."""
    table = {"max_length": 16, "max_total_tokens": BATCH, "max_batch": BATCH, "rows": ROWS, "gamma": 2}
    limits = dustin.Limits(slots=BATCH, **table)
    rules = dataclasses.replace(RULES, m=0, draft_heads=())
    verifier = make(paged, mask, acceptance, limits, rules)
    numbers = np.arange(BATCH + 1, dtype=np.int32)
    arrays = (np.ones(BATCH, np.int32), numbers * ROWS, np.zeros((BATCH, 1), np.int32), numbers)
    masks = {"masks": np.full(BATCH * ROWS, 0b111, np.uint64)} if mask == "tree" else {}
    return verifier, verifier.step(*arrays, slots=numbers[:-1].copy(), **masks)


def distance(counts, distribution):
    """Pearson's statistic of 6 degrees of freedom: above 35 once in 200,000 times."""
    expected = distribution * counts.sum()
    assert not counts[expected == 0].any()
    used = expected > 0
    return ((counts - expected)[used] ** 2 / expected[used]).sum()


@pytest.mark.parametrize("mask", ["causal", "tree"])
@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_sampled_tokens_are_distributed_as_the_targets(paged, mask, kind):
    rule = {"target_kind": kind, "draft_kind": kind, "draft_type": "f32"}
    tree = mask == "tree"
    acceptance = dustin.Acceptance(**rule, draft_rows=1 if tree else None)
    verifier, step = many(paged, mask, acceptance)
    if kind == "logits":
        with np.errstate(divide="ignore"):
            # At the temperature these are what they stand for.
            target, draft = (0.5 * np.log(one).astype(np.float32) for one in (TARGET, DRAFT))
    else:
        target, draft = TARGET.astype(np.float32), DRAFT.astype(np.float32)
    scores = np.tile(target[[0, 1, 1]], (BATCH, 1))
    drafts = draft[None].copy() if tree else np.tile(draft, (BATCH * (ROWS - 1), 1))
    options = {"draft_scores": drafts}
    if tree:
        options |= {"parents": np.tile(PARENTS[:3], BATCH), "draft_rows": np.zeros(BATCH * ROWS, np.int32)}
    generator, taken = np.random.default_rng(23), np.zeros(1, np.uint64)
    first, second, kept = np.zeros(VOCABULARY), np.zeros(VOCABULARY), 0
    for _ in range(LAUNCHES):
        tokens = generator.choice(VOCABULARY, BATCH * ROWS, p=DRAFT).astype(np.int32)
        result = accept(verifier, step, scores, tokens, 0.5, taken, **options)
        first += np.bincount(result.tokens[:, 0], minlength=VOCABULARY)
        behind = result.tokens[result.counts > 0, 1]
        second += np.bincount(behind, minlength=VOCABULARY)
        kept += len(behind)
    assert taken.tolist() == [LAUNCHES]
    assert distance(first, TARGET[0]) < 35
    assert distance(second, TARGET[1]) < 35
    # A sampler that took drafts as they come, or none of them, would be seen.
    assert distance(first + 1, np.maximum(DRAFT, 1e-3)) > 350
    share = np.minimum(TARGET[0], DRAFT).sum()
    assert share - 0.02 < kept / (BATCH * LAUNCHES) < (2 * share if tree else share + 0.02)


def test_acceptance_names_what_is_not_as_it_must_be(paged, scores):
    tokens = np.zeros(2 * ROWS, np.int32)
    verifier = make(paged)
    step = step_of(verifier, paged)
    with pytest.raises(ValueError, match=r"scores: the shape must be \[6, 7\], not \[6, 6\]"):
        accept(verifier, step, scores[:, :6], tokens)
    with pytest.raises(TypeError, match="scores: items must be f32, not f16"):
        accept(verifier, step, scores.astype(np.float16), tokens)
    with pytest.raises(ValueError, match="parents: must not be given here"):
        accept(verifier, step, scores, tokens, parents=PARENTS)
    with pytest.raises(ValueError, match="draft_scores: must be given if"):
        accept(verifier, step, scores, tokens, draft_scores=scores)
    with pytest.raises(ValueError, match="counts: must not be given here"):
        verifier.compact(step, np.zeros((2, ROWS), np.int32), np.zeros(2, np.int32))
    with pytest.raises(ValueError, match="target_type: must be one of bf16, f16, f32, not 'f64'"):
        make(paged, acceptance=dustin.Acceptance(target_type="f64"))
    without = paged.lib.Verifier(engine(paged), None, LIMITS, dataclasses.replace(RULES, m=0, draft_heads=()))
    with pytest.raises(ValueError, match="acceptance: the verifier was made without it"):
        accept(without, step, scores, tokens)


def test_a_token_outside_the_vocabulary_is_a_fault_of_its_sequence(paged, scores):
    verifier = make(paged)
    step = step_of(verifier, paged)
    tokens = np.zeros(2 * ROWS, np.int32)
    tokens[ROWS + 1] = VOCABULARY
    with pytest.raises(dustin.FaultError, match="acceptance: DUSTIN_FAULT_TOKEN in sequence 1"):
        accept(verifier, step, scores, tokens)
