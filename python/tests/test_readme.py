"""What the README shows of Python."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from libraries import optional

README = Path(__file__).resolve().parents[2] / "README.md"
pytestmark = pytest.mark.skipif(not README.is_file(), reason="there is no README beside the package")


def shown():
    return re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("number", "prints"), [(0, "(3, 4, 64) [32]\n"), (1, "torch.Size([3, 4, 64])\n")])
def test_what_the_readme_shows_runs(number, prints):
    text = shown()[number]
    if "import torch" in text:
        optional("torch")
    ran = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert ran.stdout == prints, ran.stderr


def test_all_that_the_readme_shows_is_tried():
    assert len(shown()) == 2
