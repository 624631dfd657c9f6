"""Sparse verification for long-context speculative decoding: kernels of the Dustin method for GPUs and CPUs.

Functions take torch tensors, numpy arrays and what speaks DLPack or the array interface, on CUDA devices
(asynchronously, on torch's current stream) or in host memory:

    maps = dustin.score(...)         importance maps from captured queries
    sets = dustin.select(...)        verification sets from maps
    dustin.append(...)               a step's keys and values, to their pages
    dustin.attention(...)            over sets, windows, or whole caches
    dustin.compact(...)              a tree's accepted rows, moved up

`Verifier` makes all of a step's stages from one plan. `split_cache`, `csr_to_block_tables` and
`block_tables_to_csr` take FlashInfer's and vLLM's caches and tables to those of the functions and back.
`dustin.torch`, imported by itself, registers the functions as operations for `torch.compile`.
"""

from ._accept import Accepted
from ._append import append
from ._arrays import Array, Device
from ._attention import Attended, Sets, Window, attention
from ._compact import Caches, compact
from ._context import Context
from ._errors import Error, FaultError, LibraryNotFoundError
from ._geometry import Geometry
from ._kv import Layout
from ._layouts import BlockTables, CsrTables, block_tables_to_csr, csr_to_block_tables, split_cache
from ._library import abi_version
from ._problem import Acceptance, Draft, LayerHeads, Limits, Model, Pair, Rules
from ._profile import Profile
from ._score import ScoreLayer, score
from ._select import Selection, select
from ._step import Step
from ._verifier import Verifier

__all__ = [
    "Acceptance",
    "Accepted",
    "Array",
    "Attended",
    "BlockTables",
    "Caches",
    "Context",
    "CsrTables",
    "Device",
    "Draft",
    "Error",
    "FaultError",
    "Geometry",
    "LayerHeads",
    "Layout",
    "LibraryNotFoundError",
    "Limits",
    "Model",
    "Pair",
    "Profile",
    "Rules",
    "ScoreLayer",
    "Selection",
    "Sets",
    "Step",
    "Verifier",
    "Window",
    "abi_version",
    "append",
    "attention",
    "block_tables_to_csr",
    "compact",
    "csr_to_block_tables",
    "score",
    "select",
    "split_cache",
]
