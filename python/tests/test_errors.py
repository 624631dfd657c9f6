import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dustin
import numpy as np
import pytest
from conftest import HEAD_DIM, QUERY_HEADS, ROWS

GOOD = ("query", "key_cache", "value_cache", "block_table", "lengths", "row_starts")


def attend(paged, **changed):
    names = dict(
        zip(GOOD, (paged.query, paged.keys, paged.values, paged.table, paged.lengths, paged.row_starts))
    )
    return dustin.attention(**(names | {"rows": ROWS} | changed))


@pytest.mark.parametrize(
    ("name", "change", "error", "says"),
    [
        ("query", lambda a: a.astype(np.float32), TypeError, "items must be bf16 or f16, not f32"),
        ("query", lambda a: a.astype(">f2"), TypeError, "the machine's byte order"),
        ("query", lambda a: a[0], ValueError, r"the shape must be \[any, any, any\], not \[4, 64\]"),
        ("query", lambda a: a[:, :, :32], ValueError, "must be the caches' head_dim, 64, not 32"),
        ("query", lambda a: a[:, :, ::2], ValueError, "the stride of dimension 2 must be 1"),
        ("query", lambda a: a[::-1], ValueError, "the stride of dimension 0 must be positive, not -256"),
        ("query", lambda a: a.tolist(), TypeError, "must be an array.* not list"),
        ("key_cache", lambda a: a[0], ValueError, "the shape must be"),
        ("value_cache", lambda a: a[:-1], ValueError, r"the shape must be \[24, 16, 2, 64\]"),
        ("value_cache", lambda a: a.view(np.uint16), TypeError, "items must be f16, not bf16"),
        ("block_table", lambda a: a.astype(np.int64), TypeError, "items must be i32, not i64"),
        ("lengths", lambda a: a[:1], ValueError, r"the shape must be \[2\], not \[1\]"),
        ("lengths", lambda a: np.repeat(a, 2)[::2], ValueError, "the stride of dimension 0 must be 1"),
        ("row_starts", lambda a: a[:2], ValueError, r"the shape must be \[3\], not \[2\]"),
    ],
)
def test_an_argument_that_is_not_as_it_must_be_is_named(paged, name, change, error, says):
    good = dict(
        zip(GOOD, (paged.query, paged.keys, paged.values, paged.table, paged.lengths, paged.row_starts))
    )
    with pytest.raises(error, match=f"^{name}: .*{says}"):
        attend(paged, **{name: change(good[name])})


class OnAGpu:
    """What speaks DLPack of a CUDA device."""

    def __dlpack_device__(self):
        return (2, 1)

    def __dlpack__(self, stream=None):
        return np.zeros((2 * ROWS, QUERY_HEADS, HEAD_DIM), np.float16).__dlpack__()


def test_arrays_of_two_devices_are_refused(paged):
    with pytest.raises(ValueError, match="query: must lie on cpu, as its context, not on cuda:1"):
        attend(paged, query=OnAGpu(), context=dustin.Context.cpu(1))


def test_a_read_only_output_is_refused(paged):
    output = np.zeros_like(paged.query)
    output.flags.writeable = False
    with pytest.raises(ValueError, match="out: must be writable"):
        attend(paged, out=output)


def test_a_stream_is_refused_on_a_cpu(paged):
    with pytest.raises(ValueError, match="stream: must be None on a CPU"):
        attend(paged, stream=0)


def test_what_the_library_refuses_is_its_own_sentence(paged):
    with pytest.raises(dustin.Error, match="rows") as caught:
        attend(paged, rows=65)
    assert caught.value.status == "DUSTIN_STATUS_INVALID_INPUT"


def test_a_gpu_that_is_not_there_is_an_error():
    with pytest.raises(dustin.Error, match="DUSTIN_STATUS_"):
        dustin.Context.cuda(1_000_000)


def test_a_thread_without_a_cuda_context_has_none_to_borrow():
    # This thread may have one, from tests on a GPU.
    with ThreadPoolExecutor(1) as threads, pytest.raises(dustin.Error, match="NO_GPU|INVALID_INPUT: .*CUDA"):
        threads.submit(dustin.Context.cuda_current).result()


def test_a_closed_context_is_no_handle(paged):
    context = dustin.Context.cpu(1)
    attend(paged, context=context)
    context.close()
    context.close()
    with pytest.raises(dustin.Error, match="DUSTIN_STATUS_NO_SUCH_HANDLE"):
        attend(paged, context=context)


def test_a_closed_profile_is_no_handle(paged):
    profile = dustin.Profile.read(PROFILES[0])
    profile.close()
    with pytest.raises(dustin.Error, match="DUSTIN_STATUS_NO_SUCH_HANDLE"):
        attend(paged, profile=profile)


PROFILES = sorted((Path(__file__).resolve().parents[2] / "profiles").glob("*.toml"))


def test_a_profile_for_other_shapes_and_devices_leaves_the_results_alone(paged):
    expected = attend(paged).output
    for path in PROFILES:
        np.testing.assert_allclose(
            attend(paged, profile=dustin.Profile.read(path)).output, expected, atol=1e-3
        )
    assert PROFILES


def test_a_text_that_is_no_profile_is_refused():
    with pytest.raises(dustin.Error, match="DUSTIN_STATUS_INVALID_INPUT"):
        dustin.Profile.parse("no = profile")
    with pytest.raises(dustin.Error, match="DUSTIN_STATUS_IO"):
        dustin.Profile.read("/nowhere/profile.toml")


def test_geometries_come_from_presets_and_configurations():
    preset = dustin.Geometry.preset("qwen2.5-72b")
    assert (preset.layers, preset.query_heads, preset.kv_heads, preset.head_dim) == (80, 64, 8, 128)
    with pytest.raises(dustin.Error, match="nobody"):
        dustin.Geometry.preset("nobody")
    with pytest.raises(dustin.Error):
        dustin.Geometry.parse_config('{"model_type": "qwen2"}')


def test_a_problem_is_planned_once_and_reported(paged):
    context = dustin.Context.cpu(1)
    attend(paged, context=context)
    attend(paged, context=context, query=paged.query.copy())
    (report,) = context.reports()
    assert report.startswith("attention: ")
    attend(paged, context=context, lse=True)
    assert len(context.reports()) == 2


def test_a_profile_of_a_gpu_says_what_of_it_does_not_hold_on_a_cpu():
    context = dustin.Context.cpu(1)
    assert context.device_name
    assert dustin.Profile.read(PROFILES[0]).warnings(context)


def test_four_threads_get_what_one_gets(paged):
    expected = attend(paged).output
    with ThreadPoolExecutor(4) as threads:
        for result in threads.map(lambda _: attend(paged), range(40)):
            np.testing.assert_array_equal(result.output, expected)


def test_importing_the_package_imports_no_array_library():
    script = "import sys, dustin; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_library_that_is_not_there_is_named():
    script = "import dustin; dustin.abi_version()"
    result = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"DUSTIN_LIBRARY": "/nowhere.so"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "LibraryNotFoundError" in result.stderr
    assert "/nowhere.so" in result.stderr


CONFIG = {
    "model_type": "qwen2",
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "hidden_size": 8192,
    "intermediate_size": 29568,
    "vocab_size": 152064,
    "sliding_window": 131072,
    "use_sliding_window": False,
}


def test_a_models_configuration_is_read_from_its_file(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    assert dustin.Geometry.read_config(path) == dustin.Geometry.preset("Qwen2.5-72B")
    assert dustin.Geometry.read_config(str(path)) == dustin.Geometry.parse_config(path.read_text())


def test_a_model_with_a_sliding_window_at_work_and_what_is_no_configuration_are_refused(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG | {"use_sliding_window": True, "max_window_layers": 28}))
    with pytest.raises(dustin.Error, match="(?i)sliding.window"):
        dustin.Geometry.read_config(path)
    path.write_text(json.dumps(CONFIG)[:-10])
    with pytest.raises(dustin.Error, match="DUSTIN_STATUS_INVALID_INPUT"):
        dustin.Geometry.read_config(path)
    with pytest.raises(dustin.Error, match="DUSTIN_STATUS_IO: .*nowhere"):
        dustin.Geometry.read_config("/nowhere/config.json")


def failure(library):
    """What a process says that is to use another library, and to make a context."""
    script = "import dustin; dustin.Context.cpu(1)"
    result = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"DUSTIN_LIBRARY": str(library)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    return result.stderr.splitlines()[-1]


def test_a_library_that_is_too_old_is_named_with_what_it_lacks(tmp_path):
    if not (compiler := shutil.which("cc")):
        pytest.skip("there is no cc to build a library with")
    library = tmp_path / "old.so"
    source = "unsigned dustin_abi_version(void) { return 0; }"
    subprocess.run([compiler, "-shared", "-xc", "-", "-o", library], input=source.encode(), check=True)
    says = f"the library at {library} is too old: it has no dustin_context_create_cpu"
    assert failure(library) == f"dustin._errors.LibraryNotFoundError: {says}"


def test_a_file_that_is_no_library_is_named(tmp_path):
    library = tmp_path / "text.so"
    library.write_text("no library")
    assert f"LibraryNotFoundError: the library at {library} cannot be loaded" in failure(library)


def test_what_a_newer_library_says_in_new_words_is_passed_on_by_number():
    assert dustin._library.name_of("FAULT", 3) == "DUSTIN_FAULT_PAGE"
    assert dustin._library.name_of("FAULT", 4_000_000) == "DUSTIN_FAULT_4000000"
