"""Attention, scores and cache writes on the caches of engines, for every type and head size, against torch."""

import dustin
import pytest
import tensors
from libraries import optional
from tensors import BATCH, LENGTHS, PAGE_SIZE, QUERY_HEADS, ROWS, STARTS

HEADS = [1, 6]
ERRORS = {"bfloat16": 2e-2, "float16": 4e-3}

shapes = pytest.mark.parametrize(
    ("dtype", "head_dim"), [("bfloat16", 64), ("bfloat16", 128), ("float16", 64), ("float16", 128)]
)
devices = pytest.mark.parametrize("device", ["cpu", "cuda"])
layouts = pytest.mark.parametrize("layout", tensors.LAYOUTS)


def near(actual, expected, error):
    optional("torch").testing.assert_close(actual.double(), expected.double(), atol=error, rtol=0)


def sets(device):
    torch = optional("torch")
    tokens = [[0, 1, 40, 77, 120, 149], [3, 9, 36], [0, 1, 2, 3, 4]]
    entries = torch.full((BATCH, 8), -1, dtype=torch.int32)
    for row, chosen in zip(entries, tokens):
        row[: len(chosen)] = torch.tensor(chosen)
    sizes = torch.tensor([len(one) for one in tokens], dtype=torch.int32)
    chosen = dustin.Sets(entries.to(device), sizes.to(device))
    return [torch.tensor(one, device=device) for one in tokens], chosen


@devices
@shapes
@layouts
def test_attention_over_sets_and_over_everything_is_that_of_torch(device, dtype, head_dim, layout):
    world = tensors.world(device, layout, dtype, head_dim)
    tokens, chosen = sets(device)
    options = {"rows": ROWS, "layout": world.layout, "lse": True, "out_dtype": "f32", "check": True}
    for read, given in ((tokens, chosen), (world.everything(), None)):
        expected, lse = world.attention(read)
        result = dustin.attention(*world.arrays, tokens=given, **options)
        near(result.output, expected, ERRORS[dtype])
        near(result.lse, lse, ERRORS[dtype])
    rounded = dustin.attention(*world.arrays, **(options | {"out_dtype": "rounded"})).output
    assert rounded.dtype == world.query.dtype
    near(rounded, expected, 2 * ERRORS[dtype])


@devices
@shapes
@layouts
def test_own_rows_are_written_where_they_are_read(device, dtype, head_dim, layout):
    world = tensors.world(device, layout, dtype, head_dim)
    torch = tensors.torch_on(device)
    untouched = world.both.clone()
    own = tensors.own_rows(world)
    caches = (world.keys, world.values, world.table, world.lengths, world.row_starts)
    dustin.append(*own, *caches, rows=ROWS, layout=world.layout, check=True)
    for cache, items in ((world.keys, own[0]), (world.values, own[1])):
        for sequence, length in enumerate(LENGTHS):
            written = world.read(cache, sequence, torch.arange(length, length + ROWS, device=device))
            near(written.transpose(0, 1), items[sequence * ROWS : (sequence + 1) * ROWS], 0)
    changed = (world.both.view(torch.int16) != untouched.view(torch.int16)).any(-1).sum()
    assert changed == 2 * BATCH * ROWS * tensors.KV_HEADS


@devices
@shapes
@pytest.mark.parametrize("layout", ["NHD", "FlashInfer HND", "vLLM HND"])
def test_a_map_is_the_mean_of_probabilities_of_torch(device, dtype, head_dim, layout):
    world = tensors.world(device, layout, dtype, head_dim)
    queries = tensors.captured(world, tokens=3)
    layer = dustin.ScoreLayer(queries, world.keys, HEADS)
    arrays = (world.table, world.lengths, world.map_starts)
    options = {"query_heads": QUERY_HEADS, "map_capacity": STARTS[-1], "layout": world.layout, "check": True}
    near(dustin.score([layer], *arrays, **options), world.map(queries, HEADS), 2e-5)


@devices
@pytest.mark.parametrize("layout", ["HND", "FlashInfer NHD"])
def test_accepted_rows_move_up_in_the_caches_of_all_layers(device, layout):
    worlds = [tensors.world(device, layout) for _ in range(3)]
    torch = tensors.torch_on(device)
    for number, world in enumerate(worlds):
        world.both.mul_(number + 1)
    first = worlds[0]
    accepted = torch.tensor([[0, 2], [1, 2], [0, 1]], dtype=torch.int32, device=device)
    expected = [
        [world.read(cache, one, accepted[one].long() + length) for one, length in enumerate(LENGTHS)]
        for world in worlds
        for cache in (world.keys, world.values)
    ]
    caches = dustin.Caches([one.keys for one in worlds], [one.values for one in worlds], layout=first.layout)
    step = (accepted, first.table, first.lengths, first.row_starts)
    dustin.compact(caches, *step, rows=ROWS, total_rows=BATCH * ROWS, check=True)
    for world in worlds:
        for cache in (world.keys, world.values):
            for one, (length, items) in enumerate(zip(LENGTHS, expected.pop(0))):
                near(world.read(cache, one, torch.arange(length, length + 2, device=device)), items, 0)


@devices
def test_a_needle_is_scored_selected_and_attended_to(device):
    world = tensors.world(device, "FlashInfer NHD")
    torch = tensors.torch_on(device)
    queries = tensors.captured(world)
    page = world.table[0, 77 // PAGE_SIZE]
    queries[0, 0] = 2 * world.keys[page, 77 % PAGE_SIZE, [0, 1]]
    arrays = (world.table, world.lengths, world.map_starts)
    options = {"query_heads": QUERY_HEADS, "map_capacity": STARTS[-1]}
    scores = dustin.score([dustin.ScoreLayer(queries, world.keys, HEADS)], *arrays, **options)
    chosen = dustin.select(world.lengths, world.map_starts, budget=16, recent=4, target=scores)
    assert 77 in chosen.set[0].tolist()
    # The map says how much of the attention the set has.
    mass = scores[chosen.set[0].long()].sum()
    near(mass, world.map(queries, HEADS)[chosen.set[0].long()].sum(), 1e-4)
    given = dustin.Sets(chosen.set, chosen.sizes)
    tokens = [row[:size].long() for row, size in zip(chosen.set, chosen.sizes.tolist())]
    output = dustin.attention(*world.arrays, rows=ROWS, tokens=given, out_dtype="f32").output
    near(output, world.attention(tokens)[0], ERRORS["bfloat16"])
    assert torch.isfinite(output).all()
