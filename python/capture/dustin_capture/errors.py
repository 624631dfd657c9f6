"""What a user can mend."""


class CaptureError(Exception):
    """One sentence: what, where, what was expected, what to do."""


def first_line(error: BaseException) -> str:
    """What another library says, without its explanations and traces."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    # A first line that ends so only announces the next.
    told = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return told.rstrip(".")
