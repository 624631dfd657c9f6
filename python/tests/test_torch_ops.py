"""The custom operations of torch: registered as torch wants them, and compiled with the rest of a model."""

import dustin
import pytest
import tensors
from libraries import optional
from tensors import BATCH, LENGTHS, QUERY_HEADS, ROWS, STARTS

HEADS = [0, 5]
BACKENDS = [
    ("cpu", "eager"),
    ("cpu", "aot_eager"),
    ("cpu", "inductor"),
    ("cuda", "aot_eager"),
    ("cuda", "inductor"),
]
# Along which dimension keys come before values.
COMBINED = {"NHD": 0, "HND": 0, "FlashInfer NHD": 1, "FlashInfer HND": 1, "packed": 3, "vLLM HND": 0}


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
    # Views of one tensor are not for operations that write.
    apart = (world.keys.clone(), world.values.clone())
    pool, one = torch.stack([world.both, world.both]), {"combined": 0}
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
            ((world.query, world.both, None, *world.arrays[3:]), {"rows": ROWS, **one}),
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
        "append": [
            ((keys, values, *apart, *cache[2:]), {"rows": ROWS}),
            ((keys, values, pool[1], None, *cache[2:]), {"rows": ROWS, **one}),
        ],
        "compact": [
            (([apart[0]], [apart[1]], accepted, *cache[2:]), {"rows": ROWS, "total_rows": BATCH * ROWS}),
            (([pool], [], accepted, *cache[2:]), {"rows": ROWS, "total_rows": BATCH * ROWS, **one}),
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


def verification(torch, caches, options, queries, own, query, table, lengths, row_starts, map_starts):
    """A layer of a verification step, with operations of torch in between, and the compaction behind it."""
    keys, values = caches
    torch.ops.dustin.append(*own, keys, values, table, lengths, row_starts, rows=ROWS, **options)
    shared = {"heads": HEADS, "query_heads": QUERY_HEADS, "map_capacity": STARTS[-1], **options}
    scores = torch.ops.dustin.score([queries], [keys], table, lengths, map_starts, **shared)
    entries, sizes, _ = torch.ops.dustin.select(lengths, map_starts, scores * 2, budget=24, recent=4)
    arrays = (query * 0.5, keys, values, table, lengths, row_starts, entries, sizes)
    output, _ = torch.ops.dustin.attention(*arrays, rows=ROWS, **options)
    accepted = (lengths * 0)[:, None] + torch.tensor([0, 2, -1], dtype=torch.int32, device=lengths.device)
    others = [] if values is None else [values]
    arrays = ([keys], others, accepted, table, lengths, row_starts)
    torch.ops.dustin.compact(*arrays, rows=ROWS, total_rows=BATCH * ROWS, **options)
    return output + 1, entries


def inputs(world):
    own, queries = tensors.own_rows(world), tensors.captured(world)
    return (queries, own, world.query, world.table, world.lengths, world.row_starts, world.map_starts)


def two_tensors(torch, world):
    """Keys and values, each a slice of a pool of its own."""
    pools = [torch.stack([torch.zeros_like(one), one]) for one in (world.keys, world.values)]
    return pools, (pools[0][1], pools[1][1])


def one_tensor(torch, world):
    """Keys and values in one tensor, of vLLM with the dimensions in the order that it says: a slice of a pool."""
    pool = torch.stack([torch.zeros_like(world.both), world.both])
    heads_first = world.layout == "NHD" and world.keys.stride(1) < world.keys.stride(2)
    whole = pool[1].transpose(2, 3) if heads_first else pool[1]
    return [pool], (whole, None)


@pytest.mark.parametrize(("device", "backend"), BACKENDS)
@pytest.mark.parametrize("caches", [two_tensors, one_tensor])
@pytest.mark.parametrize("layout", tensors.LAYOUTS)
def test_a_step_compiles_into_one_graph_and_gives_the_same(device, backend, layout, caches):
    torch = tensors.torch_on(device)
    eager = tensors.world(device, layout)
    options = {"layout": eager.layout, "combined": COMBINED[layout] if caches is one_tensor else None}
    expected = verification(torch, (eager.keys, eager.values), options | {"combined": None}, *inputs(eager))
    world = tensors.world(device, layout)
    pools, given = caches(torch, world)
    before = [pool.clone() for pool in pools]
    torch.compiler.reset()
    function = torch.compile(verification, fullgraph=True, backend=backend)
    for _ in range(2):
        for pool, start in zip(pools, before):
            pool.copy_(start)
        actual = function(torch, given, options, *inputs(world))
        for one, other in zip(actual, expected):
            assert torch.equal(one, other)
        after = (eager.both,) if caches is one_tensor else (eager.keys, eager.values)
        for pool, one in zip(pools, after):
            assert torch.equal(pool[1].nan_to_num(), one.nan_to_num())
            assert not pool[0].any()


def test_halves_of_one_tensor_are_refused_where_torch_would_copy_them_wrongly(world):
    torch = optional("torch")
    own, places = tensors.own_rows(world), (world.table, world.lengths, world.row_starts)

    def append(keys, values):
        torch.ops.dustin.append(*own, keys, values, *places, rows=ROWS)

    def compact(keys, values):
        accepted = torch.zeros_like(world.lengths)[:, None]
        torch.ops.dustin.compact([keys], [values], accepted, *places, rows=ROWS, total_rows=BATCH * ROWS)

    cases = (
        (append, "key_cache, value_cache", "key_cache, with combined="),
        (compact, "key_caches, value_caches", "one of key_caches, with layers as its first dimension"),
    )
    for function, named, instead in cases:
        torch.compiler.reset()
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        with pytest.raises(
            Exception, match=f"{named}: must not be views of one tensor.*: pass that tensor as {instead}"
        ):
            compiled(world.keys, world.values)
        function(world.keys, world.values)
        compiled(world.keys.clone(), world.values.clone())


def test_all_layers_in_one_tensor_are_compacted(world):
    torch = optional("torch")
    places = (world.table, world.lengths, world.row_starts)
    accepted = torch.tensor([[0, 2, -1]] * BATCH, dtype=torch.int32, device=world.query.device)
    sizes = {"rows": ROWS, "total_rows": BATCH * ROWS}
    layers = torch.stack([world.both, 2 * world.both, 3 * world.both])
    expected = layers.clone()
    caches = dustin.Caches(list(expected[:, 0]), list(expected[:, 1]))
    dustin.compact(caches, accepted, *places, **sizes)

    def compact(layers):
        torch.ops.dustin.compact([layers], [], accepted, *places, combined=0, **sizes)

    torch.compiler.reset()
    torch.compile(compact, fullgraph=True, backend="inductor")(layers)
    assert torch.equal(layers.nan_to_num(), expected.nan_to_num())
    assert not torch.equal(expected[0].nan_to_num(), world.both.nan_to_num())
    keys, values = (torch.stack(list(layers[:, half])) for half in (0, 1))
    torch.ops.dustin.compact([keys], [values], accepted, *places, **sizes)
    dustin.compact(caches, accepted, *places, **sizes)
    assert torch.equal(torch.stack([keys, values], 1).nan_to_num(), expected.nan_to_num())


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


def test_an_operation_names_a_cache_that_is_not_what_combined_says():
    torch = optional("torch")
    world = tensors.world("cpu")
    query, *places = world.query, *world.arrays[3:]
    with pytest.raises(ValueError, match="key_cache: with combined=1 it must have five dimensions"):
        torch.ops.dustin.attention(query, world.both, None, *places, rows=ROWS, combined=1)
    with pytest.raises(ValueError, match="key_cache: with combined=0 it must have five dimensions"):
        torch.ops.dustin.attention(query, world.keys, None, *places, rows=ROWS, combined=0)
    for values, combined in ((None, None), (world.values, 0)):
        with pytest.raises(ValueError, match="value_cache: must be given without combined, and only then"):
            torch.ops.dustin.attention(query, world.both, values, *places, rows=ROWS, combined=combined)
    caches, accepted = ([world.both], [world.values]), world.lengths[:, None]
    with pytest.raises(ValueError, match="value_caches: must be empty with combined"):
        torch.ops.dustin.compact(*caches, accepted, *places, rows=ROWS, total_rows=6, combined=0)


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
