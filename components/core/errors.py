"""Exceptions: `UserError` for errors the user can fix, `Stopped` for a stage that stops on purpose.

`UserError` is raised for anything the user can fix: a bad value, a missing file, a full disk, an empty corpus. Its
message is one sentence that says what is wrong, where, which limit, and what to do; the terminal's last line, the
Prefect state and the MLflow tag all show that same sentence. Programming mistakes are asserts, not these.
"""

from greenhouse_record.errors import UserError, clause

__all__ = ["STOPPED_EXIT", "Stopped", "UserError", "clause"]


class Stopped(Exception):  # noqa: N818 - stopping on purpose is no error
    """A stage stops on purpose (budget, cancel) after saving what resuming needs.

    `name` becomes the Prefect state's name (`BudgetReached`, `Cancelled`); the process exits with `STOPPED_EXIT`. The
    meter's name for it is `outcome`.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = self.outcome = name

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Out of a worker process whole: by default an exception is pickled with its message alone."""
        return type(self), (self.name, str(self))


STOPPED_EXIT = 75
"""Exit status of a stage that stopped on purpose: EX_TEMPFAIL of sysexits.h, "try again later"."""
