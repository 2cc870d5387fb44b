"""Exceptions: `UserError` for errors the user can fix, `Stopped` for a stage that stops on purpose.

`UserError` is raised for anything the user can fix: a bad value, a missing file, a full disk, an empty corpus. Its
message is one sentence that says what is wrong, where, which limit, and what to do; the terminal's last line, the
Prefect state and the MLflow tag all show that same sentence. Programming mistakes are asserts, not these.
"""

from components.core.plain_text import plain

MOST_CHARS = 1500
"""Of a message."""


class UserError(Exception):
    """Error that the user can fix. The message is one sentence: what, where, limit, what to do.

    It may quote names from outside; a terminal that shows it obeys none of them, and of a long one the middle is cut.
    """

    def __str__(self) -> str:
        text = super().__str__()
        return plain(
            text if len(text) <= MOST_CHARS else f"{text[: MOST_CHARS * 2 // 3]} ... {text[-MOST_CHARS // 4 :]}"
        )


def clause(error: BaseException, length: int = 200) -> str:
    """The message of an error of others as a clause of a sentence: on one line, cut; its type's name if it has none."""
    return " ".join(str(error).split())[:length] or type(error).__name__


class Stopped(Exception):  # noqa: N818 - stopping on purpose is no error
    """A stage stops on purpose (budget, cancel) after saving what resuming needs.

    `name` becomes the Prefect state's name (`BudgetReached`, `Cancelled`); the process exits with `STOPPED_EXIT`.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Out of a worker process whole: by default an exception is pickled with its message alone."""
        return type(self), (self.name, str(self))


STOPPED_EXIT = 75
"""Exit status of a stage that stopped on purpose: EX_TEMPFAIL of sysexits.h, "try again later"."""
