"""What a user can mend."""


class CaptureError(Exception):
    """One sentence: what, where, what was expected, what to do."""


def first_line(error: BaseException) -> str:
    """What another library says, without its explanations and traces."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
