"""Prefect's log of a run, which says each thing once."""

import logging

from prefect.exceptions import FailedRun, ParameterTypeError, SignatureMismatchError


def is_news(record: logging.LogRecord) -> bool:
    """Whether a line of a run's log says more than the line before it, which has the sentence the run failed with.

    For a flow that returns `Failed`, Prefect adds a traceback of its own code: it raises where a
    deployment runs. Of parameters that the flow does not take, the traceback alone says so in the
    log: a sentence takes its place.
    """
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, ParameterTypeError | SignatureMismatchError):
        words = " ".join(str(error).replace("Value error, ", "").split())
        record.msg, record.args, record.exc_info = f"{words}; correct what was sent", (), None
    return not isinstance(error, FailedRun)


def say_once() -> None:
    """Leave out of runs' logs what is no news."""
    logging.getLogger("prefect.flow_runs").addFilter(is_news)
