"""What all commands share: a parser that shows the module's docstring, and one sentence for an error of the user's.

A command imports what is heavy (Prefect, MLflow, DVC, torch) after its arguments are parsed, so that `--help` is quick.
"""

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from components.core.errors import UserError


def parser_of(name: str, text: str | None) -> argparse.ArgumentParser:
    """The parser of `python -m flows.<name>`; `text` is what `--help` says."""
    return argparse.ArgumentParser(
        prog=f"python -m flows.{name}", description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def number(kind: type[int] | type[float], least: float, most: float) -> Callable[[str], float]:
    """A type of `argparse` arguments: a number from `least` to `most`."""

    def parsed(text: str) -> float:
        try:
            if least <= (value := kind(text)) <= most:
                return value
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"{text!r} is no {'whole ' * (kind is int)}number from {least} to {most}")

    return parsed


def run_command(name: str, main: Callable[[], int | None]) -> NoReturn:
    """End this process with the status of `main`: 1 and one sentence for a `UserError`, 130 for Ctrl-C."""
    try:
        status = main() or 0
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted", file=sys.stderr)
        status = 130
    sys.exit(status)
