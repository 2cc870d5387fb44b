"""Callback of transformers' Trainer, and so of TRL's: `Trainer(..., callbacks=[RecordCallback(data="data/")])`.

Under `greenhouse-record` it adds losses to the record that is open; else it records this process.
"""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from greenhouse_record.recording import Log, recorded


class RecordCallback(TrainerCallback):
    """Records a Trainer's run, from the beginning of training to the end of the process or to `close`.

    So the model that is saved after training is among the outputs. The try is Completed if training
    came to its end.

    Args:
        data: files and folders that the training reads.
        out: what it writes; None for the Trainer's `output_dir`.
        state: folder of the records; None for `.greenhouse` of the repository.
    """

    def __init__(
        self, data: str | Path | Sequence[str | Path], out: str | Path | None = None, state: str | Path | None = None
    ) -> None:
        self.data, self.out, self.state = data, out, state
        self._run, self._stack = Log(None), contextlib.ExitStack()
        self.close = self._stack.close

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin, or go on with the record of the output that is resumed."""
        if state.is_world_process_zero and not self._run.path:
            resume = "auto" if state.global_step or args.resume_from_checkpoint else ""
            self._run = self._stack.enter_context(recorded(self.data, self.out or args.output_dir, self.state, resume))
            self._run.note(seed=args.seed, data_seed=args.data_seed, first_step=state.global_step)
            self._run.exit = 1
            atexit.register(self.close)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Losses and other figures of a step."""
        figures = {name: value for name, value in (logs or {}).items() if isinstance(value, (int, float))}
        self._run.log(state.global_step, **figures)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Note that training came to its end."""
        self._run.exit = 0
