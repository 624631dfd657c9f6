"""What calls raise beside TypeError and ValueError, which name the argument that is not as it must be."""


class Error(RuntimeError):
    """The library refuses a call.

    `status` is the name of the C ABI's status, such as `DUSTIN_STATUS_INVALID_INPUT`; the message is the
    library's sentence.
    """

    def __init__(self, status: str, sentence: str) -> None:
        super().__init__(f"{status}: {sentence}")
        self.status = status
        self.sentence = sentence


class FaultError(RuntimeError):
    """A launch found something wrong with what arrays contain, and took those items as masked.

    `fault` is the name of the C ABI's fault, such as `DUSTIN_FAULT_PAGE`; `sequence` is the highest sequence
    that has it.
    """

    def __init__(self, operation: str, fault: str, sequence: int) -> None:
        super().__init__(f"{operation}: {fault} in sequence {sequence}")
        self.operation = operation
        self.fault = fault
        self.sequence = sequence


class LibraryNotFoundError(ImportError):
    """There is no shared library where one is looked for."""
