"""The snippets of the guide to linking, taken from its text."""

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "linking.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
NEEDS_GPU = "# Needs torch and a GPU.\n"


def test_the_guide_has_a_snippet_for_arrays_and_one_for_torch() -> None:
    assert [snippet.startswith(NEEDS_GPU) for snippet in SNIPPETS] == [False, True]


@pytest.mark.parametrize("snippet", SNIPPETS, ids=["arrays", "torch"])
def test_a_snippet_of_the_guide_runs(snippet: str) -> None:
    code = compile(snippet, str(GUIDE), "exec")
    if snippet.startswith(NEEDS_GPU):
        torch = pytest.importorskip("torch")
        if not torch.cuda.is_available():
            pytest.skip("torch has no GPU")
    exec(code, {"__name__": "guide"})
