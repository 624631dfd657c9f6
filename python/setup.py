"""Puts the C header and the shared library beside the modules, and names the platform that the wheel is for.

The library is the file that DUSTIN_LIBRARY names, or what cargo builds of the repository around this folder,
or without cargo what has been built of it before.
"""

import os
import shutil
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

REPOSITORY = Path(__file__).resolve().parent.parent
LIBRARY = "libdustin_c.so"


def library() -> Path:
    """The shared library to pack."""
    if named := os.environ.get("DUSTIN_LIBRARY"):
        return Path(named).resolve(strict=True)
    if cargo := shutil.which("cargo"):
        command = [cargo, "build", "--release", "--locked", "--package", "dustin-c"]
        subprocess.run(command, cwd=REPOSITORY, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    for profile in ("release", "debug"):
        if (built := REPOSITORY / target / profile / LIBRARY).is_file():
            return built
    raise SystemExit(f"{LIBRARY} is not built: install cargo, or name the library with DUSTIN_LIBRARY")


class BuildWithLibrary(build_py):
    def run(self) -> None:
        super().run()
        # An editable installation finds both in the repository, so that a rebuilt library is seen.
        if not self.editable_mode:
            package = Path(self.build_lib) / "dustin"
            shutil.copy2(REPOSITORY / "capi" / "include" / "dustin.h", package)
            shutil.copy2(library(), package / LIBRARY)


class PlatformWheel(bdist_wheel):
    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self) -> tuple[str, str, str]:
        # Nothing is compiled against Python itself: one wheel for all of its versions.
        return ("py3", "none", super().get_tag()[2])


setup(cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel})
