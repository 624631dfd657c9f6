"""Streams, graphs, contexts and other libraries' arrays on a GPU, and what is refused there."""

import time
from concurrent.futures import ThreadPoolExecutor

import dustin
import pytest
import tensors
from tensors import BATCH, LENGTHS, QUERY_HEADS, ROWS, STARTS
from test_attention import OnlyDlpack

HEADS = [0, 5]
# Of a GPU's clock: some 100 ms.
LONG = 200_000_000


@pytest.fixture
def world():
    return tensors.world("cuda")


@pytest.fixture
def torch():
    return tensors.torch_on("cuda")


def attend(world, query=None, **options):
    arrays = (world.query if query is None else query, *world.arrays[1:])
    return dustin.attention(*arrays, rows=ROWS, **options).output


def maps_and_sets(world, queries, own, **options):
    """All stages of a layer but its attention; gives the sets."""
    caches = (world.keys, world.values, world.table, world.lengths, world.row_starts)
    dustin.append(*own, *caches, rows=ROWS, **options)
    layers, sizes = [dustin.ScoreLayer(queries, world.keys, HEADS)], {"query_heads": QUERY_HEADS}
    arrays = (world.table, world.lengths, world.map_starts)
    scores = dustin.score(layers, *arrays, map_capacity=STARTS[-1], **sizes, **options)
    rule = {"budget": 24, "sinks": 1, "recent": 4, "everything": 8}
    chosen = dustin.select(world.lengths, world.map_starts, target=scores, **rule, **options)
    return scores, dustin.Sets(chosen.set, chosen.sizes)


def step(world, queries, own, **options):
    """A layer of a step, on what the arrays hold."""
    scores, sets = maps_and_sets(world, queries, own, **options)
    result = dustin.attention(*world.arrays, rows=ROWS, tokens=sets, lse=True, **options)
    return scores, sets.entries, sets.sizes, result.output, result.lse


def same(torch, actual, expected):
    for one, other in zip(actual, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("named", [False, True])
def test_a_launch_waits_for_the_work_of_its_stream_and_no_call_does(world, torch, named):
    expected = attend(world)
    late = torch.zeros_like(world.query)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    options = {"stream": side} if named else {}
    with torch.cuda.stream(side):
        attend(world, late)  # makes this stream's workspace
        torch.cuda.synchronize()
        torch.cuda._sleep(LONG)
        late.copy_(world.query)
    if named:
        actual = attend(world, late, **options)
    else:
        with torch.cuda.stream(side):
            actual = attend(world, late)
    # On another stream it would have read zeros by now.
    assert not side.query()
    side.synchronize()
    assert torch.equal(actual, expected)


def test_a_step_on_a_named_stream_does_not_touch_the_current_one(world, torch):
    queries, own = tensors.captured(world), tensors.own_rows(world)
    side = torch.cuda.Stream()
    step(world, queries, own, stream=side)
    torch.cuda.synchronize()
    torch.cuda._sleep(LONG)
    actual = step(world, queries, own, stream=side)
    side.synchronize()
    # What the current stream was told before has not ended, and nothing of the step waited for it.
    assert not torch.cuda.current_stream().query()
    torch.cuda.synchronize()
    same(torch, actual, step(world, queries, own))


def test_a_graph_gives_what_eager_calls_give_for_other_lengths_too(world, torch):
    queries, own = tensors.captured(world), tensors.own_rows(world)
    step(world, queries, own)  # plans
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step(world, queries, own)
    generator = torch.Generator().manual_seed(41)
    # Above, at and below the budget of 24, and the threshold of 8 up to which everything is read.
    for lengths in (LENGTHS, (24, 9, 5), (25, 8, 4), (23, 1, 2)):
        world.lengths.copy_(torch.tensor(lengths, dtype=torch.int32))
        world.query.copy_(torch.randn(world.query.shape, generator=generator))
        before = world.both.clone()
        expected = [one.clone() for one in step(world, queries, own)]
        world.both.copy_(before)
        for one in captured:
            one.fill_(7)
        graph.replay()
        torch.cuda.synchronize()
        assert expected[2].tolist() == [-1 if length <= 8 else min(length, 24) for length in lengths]
        same(torch, captured, expected)


def test_graphs_that_run_at_the_same_time_do_not_share_what_they_work_in(torch):
    worlds = [tensors.world("cuda") for _ in range(2)]
    for number, one in enumerate(worlds):
        one.query.mul_(1 + number)
    expected = [attend(one) for one in worlds]
    graphs, outputs = [], []
    for one in worlds:
        graphs.append(torch.cuda.CUDAGraph())
        with torch.cuda.graph(graphs[-1]):
            outputs.append([attend(one) for _ in range(20)])
    streams = [torch.cuda.Stream() for _ in worlds]
    for _ in range(20):
        for stream, graph in zip(streams, graphs):
            with torch.cuda.stream(stream):
                graph.replay()
    torch.cuda.synchronize()
    for made, one in zip(outputs, expected):
        same(torch, made, [one] * 20)


def test_eager_calls_go_on_beside_a_capture(world, torch):
    expected = attend(world)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        inside = attend(world)
    outside = attend(world)
    graph.replay()
    torch.cuda.synchronize()
    same(torch, (inside, outside), (expected, expected))


def test_calls_take_no_memory_once_they_have_run(world, torch):
    out = torch.empty_like(world.query)
    attend(world, out=out)
    torch.cuda.synchronize()
    before = (torch.cuda.mem_get_info(), torch.cuda.memory_stats()["allocation.all.allocated"])
    for _ in range(100):
        attend(world, out=out)
    torch.cuda.synchronize()
    assert (torch.cuda.mem_get_info(), torch.cuda.memory_stats()["allocation.all.allocated"]) == before


def test_two_streams_and_four_threads_give_what_one_gives(world, torch):
    expected = attend(world)

    def on_a_stream(_):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.default_stream())
        with torch.cuda.stream(stream):
            made = [attend(world) for _ in range(50)]
            stream.synchronize()
        return made

    torch.cuda.synchronize()
    with ThreadPoolExecutor(4) as threads:
        for made in threads.map(on_a_stream, range(8)):
            same(torch, made, [expected] * 50)


def test_a_verifiers_step_in_a_graph_gives_what_eager_stages_give(torch):
    torch.manual_seed(43)
    world = tensors.world("cuda")
    geometry = dustin.Geometry(1, QUERY_HEADS, tensors.KV_HEADS, 128, 1024, 2048, 64)
    model = dustin.Model(geometry, [world.keys], [world.values])
    limits = dustin.Limits(BATCH, STARTS[-1], 16 * tensors.TABLE_WIDTH, rows=ROWS, gamma=2, slots=BATCH)
    rules = dustin.Rules(k=24, target_heads=[dustin.LayerHeads(0, HEADS)], sinks=1, recent=4, everything=8)
    verifier = dustin.Verifier(model, None, limits, rules, acceptance=dustin.Acceptance())
    slots = torch.arange(BATCH, dtype=torch.int32, device="cuda")
    shared = verifier.step(world.lengths, world.row_starts, world.table, world.map_starts, slots=slots)
    own, output = tensors.own_rows(world), torch.empty_like(world.query)
    scores = torch.randn(BATCH * ROWS, 64, device="cuda")
    tokens = torch.randint(64, (BATCH * ROWS,), dtype=torch.int32, device="cuda")
    heat, seeds = torch.ones(BATCH, device="cuda"), torch.arange(BATCH, device="cuda")
    taken = torch.zeros(1, dtype=torch.int64, device="cuda")
    verifier.target_queries.copy_(tensors.captured(world))

    def stages():
        verifier.score_target(shared)
        verifier.select(shared)
        verifier.append(0, shared, *own)
        verifier.attention(0, shared, world.query, out=output)
        accepted = verifier.accept(shared, scores, tokens, heat, seeds, taken)
        arrays = (world.query, world.row_starts)
        verifier.capture_target(0, shared, *arrays, rows=accepted.last_rows, slots=slots)
        return accepted

    def results(accepted):
        made = (accepted.path, accepted.tokens, accepted.lengths, shared.set_sizes, shared.set, output)
        return [one.clone() for one in (*made, verifier.target_queries, taken)]

    stages()
    start = [one.clone() for one in (world.both, verifier.target_queries, taken)]

    def restart():
        for one, before in zip((world.both, verifier.target_queries, taken), start):
            one.copy_(before)

    eager = [results(stages()) for _ in range(3)]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        accepted = stages()
    restart()
    for expected in eager:
        graph.replay()
        same(torch, results(accepted), expected)
    # Steps drew anew.
    assert any(not torch.equal(one, other) for one, other in zip(eager[0][:2], eager[1][:2]))


def test_a_callers_context_may_be_current_or_named(world, torch):
    expected = attend(world)
    current = dustin.Context.cuda_current()
    assert current.device == ("cuda", torch.cuda.current_device())
    for context in (current, dustin.Context.borrow_cuda(current.cu_context)):
        assert torch.equal(attend(world, context=context), expected)
    assert dustin.Context.cuda().device_name


@pytest.mark.parametrize("library", ["cupy", "dlpack"])
def test_arrays_of_other_libraries_are_read_where_they_lie(world, torch, library):
    arrays = [*(one.to(torch.float16) for one in world.arrays[:3]), *world.arrays[3:]]
    options = {"rows": ROWS, "out_dtype": "f32", "check": True}
    expected = dustin.attention(*arrays, **options).output
    out = torch.zeros_like(expected)
    wrap = pytest.importorskip("cupy").from_dlpack if library == "cupy" else OnlyDlpack
    dustin.attention(*map(wrap, arrays), out=wrap(out), **options)
    torch.cuda.synchronize()
    assert torch.equal(out, expected)
    with pytest.raises(TypeError, match="out: must be given for arrays of type"):
        dustin.attention(*map(wrap, arrays), **options)


def test_what_does_not_fit_a_gpu_is_named(world, torch):
    query, keys, values, table, lengths, starts = world.arrays
    cases = [
        ((query, keys, values, table.cpu(), lengths, starts), ValueError, "block_table: must lie on cuda:0"),
        ((query, keys.cpu(), values, table, lengths, starts), ValueError, "key_cache: must lie on cuda:0"),
        ((query.cpu(), keys, values, table, lengths, starts), ValueError, "key_cache: must lie on cpu"),
        (
            (query.float(), keys, values, table, lengths, starts),
            TypeError,
            "query: items must be bf16 or f16",
        ),
        ((query, keys, values, table.long(), lengths, starts), TypeError, "block_table: items must be i32"),
        (
            (query[..., ::2], keys, values, table, lengths, starts),
            ValueError,
            "query: the stride of dimension 2",
        ),
        ((query, keys[:-1], values, table, lengths, starts), ValueError, "value_cache: the shape must be"),
        ((query, keys, values, table, lengths[:2], starts), ValueError, "lengths: the shape must be"),
    ]
    for arrays, error, says in cases:
        with pytest.raises(error, match=says):
            dustin.attention(*arrays, rows=ROWS)
    with pytest.raises(ValueError, match="query: must lie on cpu, as its context, not on cuda:0"):
        attend(world, context=dustin.Context.cpu(1))
    with pytest.raises(dustin.Error, match="DUSTIN_STATUS_INVALID_INPUT: .*query"):
        attend(world, torch.empty(query.numel() + 1, dtype=query.dtype, device="cuda")[1:].view(query.shape))
    with pytest.raises(dustin.Error, match="DUSTIN_STATUS_"):
        dustin.Context.cuda(torch.cuda.device_count())
    context = dustin.Context.cuda()
    attend(world, context=context)
    torch.cuda.synchronize()
    context.close()
    with pytest.raises(dustin.Error, match="DUSTIN_STATUS_NO_SUCH_HANDLE"):
        attend(world, context=context)
    assert torch.isfinite(attend(world)).all()


def test_arrays_of_another_gpu_are_refused(world, torch):
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one GPU")
    with pytest.raises(ValueError, match="key_cache: must lie on cuda:1, as its context, not on cuda:0"):
        attend(world, world.query.to("cuda:1"))


def test_a_fault_on_a_gpu_is_found_if_asked_for(world, torch):
    world.table[1, 0] = tensors.PAGES
    attend(world)
    with pytest.raises(dustin.FaultError, match="DUSTIN_FAULT_PAGE in sequence 1"):
        attend(world, check=True)
    world.table[1, 0] = 0
    attend(world, check=True)


def test_a_call_takes_less_than_a_millisecond_of_the_host(world, torch):
    out = torch.empty_like(world.query)
    attend(world, out=out)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(200):
        attend(world, out=out)
    took = (time.perf_counter() - start) / 200
    assert took < 1e-3
