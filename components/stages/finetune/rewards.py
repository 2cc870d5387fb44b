"""Rewards of completions: whether they are right, or what a user's function says, in a process of its own.

    def reward(prompt: str, completion: str, answer: str) -> float: ...     in reward.py, beside the rows

The process lives as long as `Rewards` is open, dies with the stage, and may take `LIMIT_S` for a completion. What it
prints goes to the error output. Python hashes text there without a seed, so that sets have one order.
"""

import importlib.util
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from numbers import Real
from pathlib import Path

from components.core.errors import UserError
from components.core.workers import ONE_THREAD, die_with_parent
from components.finetuning_data.rows import LARGEST_SCORE
from components.synthetic.curriculum import is_right

FILE = "reward.py"
LIMIT_S = 10.0
START_LIMIT_S = 60.0
Asked = tuple[str, str, str]
"""Prompt, completion, and the right answer."""


class Rewards:
    """Reward of each completion; a context that ends the user's process."""

    def __init__(self, data: Path) -> None:
        """`data`: the rows or corpus; with a file reward.py in it, its function decides."""
        self.path = data / FILE if (data / FILE).exists() else None
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "Rewards":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._pipe.close()
            self._process = None

    def __call__(self, asked: Sequence[Asked]) -> list[float]:
        """The rewards.

        Raises:
            UserError: the function raises, takes too long, or returns no finite number.
        """
        if not self.path:
            return [float(is_right(completion, answer)) for _, completion, answer in asked]
        self.load()
        with suppress(OSError):  # it has ended, as is found when its answer is not received
            self._pipe.send(list(asked))
        return [self._received(LIMIT_S, one) for one in asked]

    def load(self) -> None:
        """Load the function, if there is one, unless it is loaded.

        Raises:
            UserError: it cannot be loaded.
        """
        if self.path and not self._process:
            self._start(self.path)

    def check(self, asked: Sequence[Asked], raise_if_stopped: Callable[[], None] = lambda: None) -> None:
        """Ask twice, the second time a new process and in reverse: who counts calls or draws at random is found out.

        Raises:
            UserError: as above, or the two rewards of a completion differ.
            Stopped: between two completions, as `raise_if_stopped` does.
        """
        if not self.path:
            return

        def one_by_one(rewards: Rewards, some: Sequence[Asked]) -> list[float]:
            found = list[float]()
            for one in some:
                raise_if_stopped()
                found += rewards([one])
            return found

        first = one_by_one(self, asked)
        with Rewards(self.path.parent) as again:
            second = one_by_one(again, asked[::-1])[::-1]
        for one, reward, other in zip(asked, first, second, strict=True):
            if reward != other:
                raise UserError(f"{self.path}: the reward is not the same when asked twice, {reward:g} and {other:g}, "
                                f"for {_shown(one)}; it must depend on its arguments alone")  # fmt: skip

    def _start(self, path: Path) -> None:
        self._pipe, theirs = Pipe()
        root = str(Path(__file__).resolve().parents[3])
        folders = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH")) if part)
        environment = os.environ | ONE_THREAD | {"PYTHONPATH": folders, "PYTHONHASHSEED": "0"}
        command = [sys.executable, "-m", __name__, str(path.resolve()), str(theirs.fileno()), str(os.getpid())]
        self._process = subprocess.Popen(command, env=environment, pass_fds=[theirs.fileno()], stdout=2)
        theirs.close()
        self._received(START_LIMIT_S, None)

    def _received(self, limit_s: float, one: Asked | None) -> float:
        """The next number from the process."""
        try:
            found = self._pipe.recv() if self._pipe.poll(limit_s) else f"takes more than {limit_s:g} s"
        except (EOFError, OSError):
            found = "ended its process"
        if isinstance(found, str):
            self.__exit__()
            raise UserError(f"{self.path}: reward {found}{f', for {_shown(one)}' if one else ''}; correct the function")
        return float(found)


def _shown(one: Asked) -> str:
    prompt, completion, answer = (f"{text[:200]!r}" for text in one)
    return f"the prompt {prompt} with the completion {completion} (answer {answer})"


# -- the process -------------------------------------------------------------------------------------------------------


def _serve(path: Path, pipe: Connection) -> None:
    """Answer lists of completions, number by number; a text says what is wrong with one."""
    sys.path[0] = str(path.parent)  # files beside it can be imported
    try:
        spec = importlib.util.spec_from_file_location("reward", path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        function = module.reward
    except BaseException as error:
        pipe.send(f"cannot be loaded ({_line(error)})")
        return
    pipe.send(0.0)
    while True:
        try:
            asked = pipe.recv()
        except EOFError:
            return
        for one in asked:
            try:
                value = function(*one)
                number = float(value) if isinstance(value, Real) else math.nan  # 10**400 has none
            except BaseException as error:
                pipe.send(f"raises {_line(error)}")
                continue
            if not isinstance(value, Real):
                pipe.send(f"is no number but {type(value).__name__}; return a float")
            else:
                fits = abs(number) <= LARGEST_SCORE
                pipe.send(number if fits else f"is {number:g}, and not within {LARGEST_SCORE:g} of 0")


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:200].replace("\n", " ")


if __name__ == "__main__":
    die_with_parent(int(sys.argv[3]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is for the stage
    _serve(Path(sys.argv[1]), Connection(int(sys.argv[2])))
