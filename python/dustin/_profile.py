"""Tuned profiles."""

import os

from . import _library
from ._context import Context
from ._handle import Handle


class Profile(Handle):
    """A tuned profile, as `autotune` writes it. Entries that cannot be used are left out, with a warning."""

    def __init__(self, handle: int) -> None:
        """Use `read` or `parse`."""
        super().__init__("profile", handle)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Profile":
        """Reads the TOML file at `path`; Error if it cannot be read or is no profile."""
        return cls(_library.create("profile_read", os.fsencode(path)))

    @classmethod
    def parse(cls, toml: str) -> "Profile":
        """Reads the text of a profile."""
        items = toml.encode()
        return cls(_library.create("profile_parse", items, len(items)))

    def warnings(self, context: Context | None = None) -> list[str]:
        """What of it is not used, or with a reservation; with a context also what does not hold on its
        device.
        """
        return _library.text("profile_warnings", self.handle, context and context.handle).splitlines()
