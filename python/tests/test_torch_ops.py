"""The custom operations of torch: registered as torch wants them, and compiled with the rest of a model."""

import dustin
import pytest
import tensors
from libraries import optional
from tensors import BATCH, LENGTHS, QUERY_HEADS, ROWS, STARTS

HEADS = [0, 5]
BACKENDS = [("cpu", "eager"), ("cpu", "aot_eager"), ("cuda", "aot_eager"), ("cuda", "inductor")]


@pytest.fixture(autouse=True)
def ops():
    optional("torch")
    import dustin.torch

    return dustin.torch


@pytest.fixture(params=["cpu", "cuda"])
def world(request):
    return tensors.world(request.param)


def sets(world):
    torch = optional("torch")
    entries = torch.tensor([[0, 7, 99, 149], [3, 36, -1, -1], [0, 1, 2, 4]], dtype=torch.int32)
    sizes = torch.tensor([4, 2, 4], dtype=torch.int32)
    return entries.to(world.query.device), sizes.to(world.query.device)


def samples(world):
    """Of each operation calls with all that it may be given, as positional and named arguments."""
    torch = optional("torch")
    target = torch.rand(STARTS[-1], device=world.query.device)
    keys, values = tensors.own_rows(world)
    cache = (world.keys, world.values, world.table, world.lengths, world.row_starts)
    masks = torch.tensor([0b1, 0b11, 0b101] * BATCH, device=world.query.device)
    places = {"pages": tensors.PAGES, "page_size": tensors.PAGE_SIZE}
    accepted = torch.tensor([[0, 2, -1]] * BATCH, dtype=torch.int32, device=world.query.device)
    queries = tensors.captured(world)
    scoring = ([queries, queries], [world.keys, world.values], *cache[2:4], world.map_starts)
    return {
        "attention": [
            (world.arrays, {"rows": ROWS}),
            (world.arrays, {"rows": ROWS, "window": [2, 5], "out_dtype": "f32"}),
            ((*world.arrays, *sets(world), masks), {"rows": ROWS, "lse": True}),
        ],
        "score": [
            (scoring, {"heads": HEADS * 2, "query_heads": QUERY_HEADS, "map_capacity": STARTS[-1]}),
            (
                (*scoring, world.lengths.new_tensor([2, -1, 0])),
                {"heads": HEADS * 2, "query_heads": QUERY_HEADS, "map_capacity": 200, "weights": [0.1] * 4},
            ),
        ],
        "select": [
            ((world.lengths, world.map_starts, target), {"budget": 16, "sinks": 2, "recent": 3}),
            (
                (world.lengths, world.map_starts, None, target, None, world.table),
                {"budget": 16, "quota": 16, **places},
            ),
        ],
        "append": [((keys, values, *cache), {"rows": ROWS})],
        "compact": [
            (([world.keys], [world.values], accepted, *cache[2:]), {"rows": ROWS, "total_rows": BATCH * ROWS})
        ],
    }


@pytest.mark.parametrize("name", ["attention", "score", "select", "append", "compact"])
def test_operations_are_registered_as_torch_wants_them(world, name):
    torch = optional("torch")
    # Poison is no number, and so not equal to itself, which these checks ask for.
    world.both.nan_to_num_()
    for arrays, options in samples(world)[name]:
        torch.library.opcheck(getattr(torch.ops.dustin, name).default, arrays, options)


def test_operations_give_what_the_functions_give(world):
    torch = optional("torch")
    entries, sizes = sets(world)
    expected = dustin.attention(*world.arrays, rows=ROWS, tokens=dustin.Sets(entries, sizes), lse=True)
    output, lse = torch.ops.dustin.attention(*world.arrays, entries, sizes, rows=ROWS, lse=True)
    assert torch.equal(output, expected.output)
    assert torch.equal(lse, expected.lse)
    assert torch.ops.dustin.attention(*world.arrays, rows=ROWS)[1].numel() == 0
    window = torch.ops.dustin.attention(*world.arrays, rows=ROWS, window=[2, 5])[0]
    assert torch.equal(window, dustin.attention(*world.arrays, rows=ROWS, tokens=dustin.Window(2, 5)).output)

    queries = tensors.captured(world)
    layers = [dustin.ScoreLayer(queries, world.keys, HEADS), dustin.ScoreLayer(queries, world.values, [1, 2])]
    shared = {"query_heads": QUERY_HEADS, "map_capacity": STARTS[-1]}
    expected = dustin.score(layers, world.table, world.lengths, world.map_starts, **shared)
    arrays = ([queries, queries], [world.keys, world.values], world.table, world.lengths, world.map_starts)
    scores = torch.ops.dustin.score(*arrays, heads=[*HEADS, 1, 2], **shared)
    assert torch.equal(scores, expected)

    expected = dustin.select(world.lengths, world.map_starts, budget=16, target=scores, sinks=1)
    chosen = torch.ops.dustin.select(world.lengths, world.map_starts, scores, budget=16, sinks=1)
    assert torch.equal(chosen[0], expected.set)
    assert torch.equal(chosen[1], expected.sizes)


def verification(torch, caches, queries, own, query, table, lengths, row_starts, map_starts):
    """A layer of a verification step, with operations of torch in between."""
    keys, values = caches
    torch.ops.dustin.append(*own, keys, values, table, lengths, row_starts, rows=ROWS)
    shared = {"heads": HEADS, "query_heads": QUERY_HEADS, "map_capacity": STARTS[-1]}
    scores = torch.ops.dustin.score([queries], [keys], table, lengths, map_starts, **shared)
    entries, sizes, _ = torch.ops.dustin.select(lengths, map_starts, scores * 2, budget=24, recent=4)
    arrays = (query * 0.5, keys, values, table, lengths, row_starts, entries, sizes)
    output, _ = torch.ops.dustin.attention(*arrays, rows=ROWS)
    return output + 1, entries


def inputs(world):
    own, queries = tensors.own_rows(world), tensors.captured(world)
    return (queries, own, world.query, world.table, world.lengths, world.row_starts, world.map_starts)


@pytest.mark.parametrize(("device", "backend"), BACKENDS)
@pytest.mark.parametrize("layout", ["NHD", "FlashInfer NHD"])
def test_a_step_compiles_into_one_graph_and_gives_the_same(device, backend, layout):
    torch = tensors.torch_on(device)
    eager, compiled = (tensors.world(device, layout) for _ in range(2))
    expected = verification(torch, (eager.keys, eager.values), *inputs(eager))
    torch.compiler.reset()
    function = torch.compile(verification, fullgraph=True, backend=backend)
    for _ in range(2):
        actual = function(torch, (compiled.keys, compiled.values), *inputs(compiled))
        for one, other in zip(actual, expected):
            assert torch.equal(one, other)
        assert torch.equal(compiled.both.nan_to_num(), eager.both.nan_to_num())


def test_a_compiled_step_takes_batches_of_other_sizes():
    torch = optional("torch")
    world = tensors.world("cpu")

    def attend(query, row_starts):
        rest = (world.keys, world.values, world.table, world.lengths, row_starts)
        return torch.ops.dustin.attention(query, *rest, rows=ROWS)[0] * 2

    torch.compiler.reset()
    function = torch.compile(attend, fullgraph=True, dynamic=True, backend="aot_eager")
    for rows in (3, 2, 1):
        starts = torch.arange(0, BATCH * rows + 1, rows, dtype=torch.int32)
        query = world.query[: BATCH * rows].clone()
        assert torch.equal(function(query, starts), attend(query, starts))


def test_a_profile_is_named_by_its_file():
    torch = optional("torch")
    world = tensors.world("cpu")
    with pytest.raises(dustin.Error, match="DUSTIN_STATUS_IO"):
        torch.ops.dustin.attention(*world.arrays, rows=ROWS, profile="/nowhere/profile.toml")


def test_an_operation_names_the_argument_that_is_not_as_it_must_be():
    torch = optional("torch")
    world = tensors.world("cpu")
    with pytest.raises(TypeError, match="query: items must be bf16 or f16, not f32"):
        torch.ops.dustin.attention(world.query.float(), *world.arrays[1:], rows=ROWS)
    with pytest.raises(ValueError, match="sizes: must be given with entries"):
        torch.ops.dustin.attention(*world.arrays, world.table, rows=ROWS)
    arrays = ([tensors.captured(world)], [world.keys], world.table, world.lengths, world.map_starts)
    with pytest.raises(ValueError, match="heads: must be as many as the queries are of, 2, not 3"):
        torch.ops.dustin.score(*arrays, heads=[0, 1, 2], query_heads=QUERY_HEADS, map_capacity=sum(LENGTHS))


def test_cuda_graphs_of_torch_compile_take_the_operations():
    torch = tensors.torch_on("cuda")
    world = tensors.world("cuda")

    def attend(query):
        arrays = (query, *world.arrays[1:])
        return torch.ops.dustin.attention(*arrays, rows=ROWS)[0] * 2

    torch.compiler.reset()
    function = torch.compile(attend, fullgraph=True, mode="reduce-overhead")
    for _ in range(4):
        query = torch.randn_like(world.query)
        assert torch.equal(function(query), attend(query))
