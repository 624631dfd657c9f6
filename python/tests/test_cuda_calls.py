"""What the package asks of CUDA's driver, against one that launches nothing: built with `cc`, and met by another
process, since a process loads its driver once.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("fake_driver.c")

BEGINNING = """
import ctypes
import dustin
from dustin import _cuda

driver = ctypes.CDLL("libcuda.so.1")

def said(name, kind=ctypes.c_uint64):
    return kind.in_dll(driver, "fake_" + name).value

def tell(name, value):
    ctypes.c_uint64.in_dll(driver, "fake_" + name).value = value

def calls(function, *arguments, **options):
    log = (ctypes.c_char * (1 << 20)).in_dll(driver, "fake_calls")
    log.value = b""
    function(*arguments, **options)
    return log.value.decode().split()

class Memory:
    def __init__(self, shape, kind, items=b""):
        self.address = _cuda.allocate(77, 1 << 16)
        ctypes.memmove(self.address, items, len(items))
        self.__cuda_array_interface__ = {
            "shape": shape, "typestr": kind, "data": (self.address, False), "version": 3
        }

def ints(*values):
    return Memory((len(values),), "<i4", b"".join(value.to_bytes(4, "little") for value in values))

query, out = (Memory((1, 4, 64), "<f2") for _ in range(2))
keys, values = (Memory((4, 16, 2, 64), "<f2") for _ in range(2))
table, lengths, rows = Memory((1, 4), "<i4"), ints(20), ints(0, 1)

def attend(**options):
    options = {"out": out} | options
    return dustin.attention(query, keys, values, table, lengths, rows, rows=1, **options)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if not (compiler := shutil.which("cc")):
        pytest.skip("there is no cc to build a driver with")
    made = tmp_path_factory.mktemp("driver")
    options = ["-shared", "-fPIC", "-w", "-o", made / "libcuda.so.1"]
    subprocess.run([compiler, SOURCE, *options], check=True)
    return made


def meet(folder, script):
    """Runs a script behind the common beginning, with that driver."""
    environment = os.environ | {"LD_LIBRARY_PATH": f"{folder}:{os.environ.get('LD_LIBRARY_PATH', '')}"}
    ran = subprocess.run(
        [sys.executable, "-c", BEGINNING + script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_launches_go_to_the_stream_that_is_named(folder):
    meet(
        folder,
        """
class Torchs:
    cuda_stream = 12

class Cupys:
    ptr = 13

class Standard:
    def __cuda_stream__(self):
        return (0, 14)

for stream, number in ((11, 11), (Torchs(), 12), (Cupys(), 13), (Standard(), 14), (None, 0)):
    attend(stream=stream)
    assert said("launch_stream") == number
try:
    attend(stream="main")
except TypeError as error:
    assert str(error) == "stream: must be a number or a stream, not str"
else:
    raise AssertionError
""",
    )


def test_a_call_that_is_planned_launches_and_asks_for_nothing_else(folder):
    meet(
        folder,
        """
attend(stream=11)
again = calls(attend, stream=11)
assert again.count("cuLaunchKernelEx") >= 1
looks = {"cuCtxPushCurrent_v2", "cuCtxPopCurrent_v2", "cuStreamGetCaptureInfo_v2", "cuPointerGetAttribute"}
assert set(again) <= {"cuLaunchKernelEx"} | looks, again
assert "cuStreamSynchronize" in calls(attend, stream=11, check=True)
""",
    )


def test_each_stream_and_each_graph_has_a_workspace_of_its_own(folder):
    meet(
        folder,
        """
RELAXED = 2
attend(stream=11)
assert "cuMemAlloc_v2" not in calls(attend, stream=11)
assert calls(attend, stream=12).count("cuMemAlloc_v2") == 1
for capture in (5, 6):
    tell("capture", capture)
    # Made beside the capture: in the mode that lets it, and filled on a stream of which nothing is taken down.
    assert calls(attend, stream=11).count("cuMemAlloc_v2") == 1
    assert said("allocation_mode", ctypes.c_int) == RELAXED
    assert said("fill_stream") not in (0, 11, 12)
    assert said("launch_stream") == 11
    assert "cuMemAlloc_v2" not in calls(attend, stream=11)
    # A capture may have branches, which run side by side.
    assert calls(attend, stream=12).count("cuMemAlloc_v2") == 1
tell("capture", 0)
assert "cuMemAlloc_v2" not in calls(attend, stream=11)
assert calls(driver.cuThreadExchangeStreamCaptureMode, ctypes.byref(mode := ctypes.c_int(0)))
assert mode.value == 0
""",
    )


def test_a_callers_context_is_the_one_that_launches_are_made_in(folder):
    meet(
        folder,
        """
context = dustin.Context.borrow_cuda(0xC0DE)
assert (context.device, context.cu_context) == (("cuda", 0), 0xC0DE)
attend(context=context)
assert said("context") == 0xC0DE
assert "cuDevicePrimaryCtxRetain" not in calls(attend, context=context)
assert dustin.Context.cuda_current().cu_context == 0xC0DE
attend()
assert said("context") == 77
""",
    )


def test_caches_of_all_layers_are_listed_once(folder):
    meet(
        folder,
        """
first, second = (dustin.Caches([keys, keys], [values, values]) for _ in range(2))
assert first.key_addresses == second.key_addresses
listed = (ctypes.c_uint64 * 4).from_address(first.key_addresses)
assert list(listed) == [keys.address] * 2 + [values.address] * 2
assert first.value_addresses == first.key_addresses + 16
""",
    )
