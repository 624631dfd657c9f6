"""Headers and libraries of different ages: structs carry their size."""

import ctypes

import dustin
import pytest
from dustin import _header, _library

TEXT = _library.header_text()


@pytest.fixture
def with_header(monkeypatch):
    """Has the package read another header."""

    def read(text):
        changed = _header.parse(text)
        monkeypatch.setattr(_library, "header", lambda: changed)
        _library._library.cache_clear()

    yield read
    _library._library.cache_clear()


def without(struct, fields):
    """The header as it was before a struct had its last fields."""
    head, tail = TEXT.split(f"}} {struct};")
    for field in reversed(fields):
        at = head.rindex(f" {field};")
        head = head[: head.rindex("\n", 0, at)] + head[at + len(f" {field};") :]
    return f"{head}}} {struct};{tail}"


def preset():
    made = _library.struct("geometry")
    _library.call("geometry_preset", b"Qwen2.5-72B", ctypes.byref(made))
    return made


def test_an_older_header_gets_what_it_knows(with_header):
    with_header(without("dustin_geometry", ["intermediate", "vocabulary"]))
    made = preset()
    assert (made.layers, made.query_heads, made.kv_heads, made.head_dim, made.hidden) == (
        80,
        64,
        8,
        128,
        8192,
    )
    assert not hasattr(made, "vocabulary")


def attend(paged):
    arrays = (paged.query, paged.keys, paged.values, paged.table, paged.lengths, paged.row_starts)
    return dustin.attention(*arrays, rows=3, context=dustin.Context.cpu(1))


def test_a_header_that_is_too_old_is_refused(paged, monkeypatch):
    make = _library.struct

    def short(name, **fields):
        made = make(name, **fields)
        if name == "attention_problem":
            made.struct_size = 8
        return made

    monkeypatch.setattr(_library, "struct", short)
    with pytest.raises(
        dustin.Error, match=r"struct_size must be sizeof\(dustin_attention_problem\), at least"
    ):
        attend(paged)


def newer(struct, kind="uint64_t"):
    return TEXT.replace(f"}} {struct};", f"  {kind} added;\n}} {struct};")


def test_a_newer_header_serves_as_long_as_nothing_new_is_asked_for(paged, with_header, monkeypatch):
    with_header(newer("dustin_attention_problem"))
    attend(paged)
    make = _library.struct

    def asking(name, **fields):
        return make(name, **fields, **({"added": 7} if name == "attention_problem" else {}))

    monkeypatch.setattr(_library, "struct", asking)
    with pytest.raises(dustin.Error, match="struct_size must be .*the library is older than its header"):
        attend(paged)


def test_a_function_that_only_a_newer_library_has_is_named_when_it_is_called(paged, with_header):
    with_header(TEXT.replace("dustin_attention_launch(", "dustin_attention_start("))
    with pytest.raises(dustin.LibraryNotFoundError, match="too old: it has no dustin_attention_start"):
        _library.call("attention_start", None, None, None)
    dustin.Context.cpu(1)


def test_signed_64_bit_numbers_of_the_header_are_read(with_header):
    with_header(newer("dustin_geometry", "int64_t"))
    assert dict(_library.header().structs["dustin_geometry"]._fields_)["added"] is ctypes.c_int64


def test_every_fault_is_named():
    names = [_library.name_of("FAULT", number) for number in range(1, 15)]
    assert names[9:] == [
        f"DUSTIN_FAULT_{one}" for one in ("TOKEN", "PARENT", "SCORE", "TEMPERATURE", "DRAFT_ROW")
    ]
    assert not any(name.removeprefix("DUSTIN_FAULT_").isdecimal() for name in names)
