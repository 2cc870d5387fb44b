"""Training loop of pretraining and fine-tuning, for every objective, on one process or several.

    result = train(model, batches, objective, config, work, progress, numerics=numerics)

`batches(n)` gives this process's part of the n-th batch and depends on nothing else. So a run that
is killed anywhere and started again on the same `work` folder goes on from its newest checkpoint
and ends with the same weights, bit for bit. No time gets into the result. A step, in order: batch,
gradients (summed over micro-batches), check for a bad loss, update, evaluation, checkpoint, report.

A loss that is not finite, or jumps far above the recent ones, is not trained on: the run goes back
to its newest checkpoint and passes over that batch (as in Chowdhery et al. 2022, PaLM,
arXiv:2204.02311, section 5.1).
"""

import copy
import math
import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from components.core.errors import Stopped, UserError
from components.core.progress import Progress
from components.model import export
from components.model.lora import has_lora
from components.model.transformer import Transformer
from components.params import Numerics
from components.training import checkpoint, device_memory, lr_schedule, optimizer
from components.training import numerics as floats
from components.training.ahead import Ahead
from components.training.checkpoint import CheckpointWriter
from components.training.data_parallel import SINGLE, ProcessGroup
from components.training.mirror import Mirror
from components.training.objectives import Batch, Objective
from components.training.progress import TrainProgress
from components.training.train_config import TrainConfig, TrainResult

SMALLER = "set {}.micro_batch lower (gradients add up to the same step), then context or model.size"
OUT_OF_MEMORY = re.compile("out of memory|can't allocate memory", re.IGNORECASE)
"""Messages of PyTorch for a failed allocation, on CUDA and MPS, and on the CPU, where it is a plain RuntimeError."""

RECENT = 16
"""Losses that a new one is compared with."""
WriteModel = Callable[[nn.Module, int, Path], None]
"""(model, steps done, folder): writes the model's part of a checkpoint."""


def train(
    model: nn.Module,
    batches: Callable[[int], Batch],
    objective: Objective,
    config: TrainConfig,
    work: Path,
    progress: Progress | None = None,
    *,
    numerics: Numerics,
    tokenizer_json: str = "",
    evaluate: Callable[[int], dict[str, float]] | None = None,
    write_model: WriteModel | None = None,
    group: ProcessGroup = SINGLE,
    until: int | None = None,
    mirror: Mirror | None = None,
) -> TrainResult:
    """Train `model` in place.

    Args:
        model: initialised as the run should start; checkpoints in `work` win over it. Only
            parameters that require a gradient are trained.
        batches: this process's part of the n-th batch, n from 0; any n must do, since bad batches
            are passed over. On a GPU it is called on a thread, one batch ahead.
        objective: summed loss of a batch, in nats.
        work: folder of the checkpoints; must belong to this run alone, and survive kills.
        tokenizer_json: goes into checkpoints.
        evaluate: called with the number of steps done; what it returns is kept in the result. Must
            not use the global random state.
        write_model: writes a checkpoint's model folder, perhaps from a copy of the model and on
            another thread; default: `export.save` for a Transformer without adapters, else the
            trained tensors alone.
        group: the processes that share this training.
        until: end after this step, as the run of `config.steps` went through it; None for all
            steps.
        mirror: gets a copy of each checkpoint, and gives the newest back where `work` has none as
            new.

    Raises:
        Stopped: `progress.raise_if_stopped()` raised it; a checkpoint has been saved.
        UserError: out of memory, too many bad losses, device or compiler missing.
    """
    run = Trainer(model, batches, objective, config, work, progress or Progress(), numerics, group, evaluate, mirror)
    run.write_model = write_model or run.default_writer(tokenizer_json)
    try:
        return run.run(config.steps if until is None else until)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not OUT_OF_MEMORY.search(str(error)):
            raise
        raise UserError(
            f"{config.name}: out of memory on {numerics.device} with {config.micro_batch or 'all'} sequences of a "
            f"batch per forward pass; {config.smaller or SMALLER.format(config.name)}"
        ) from error


@dataclass
class Trainer:
    """State of one call of `train`, whose arguments it has, and the operations of a step."""

    model: nn.Module
    batches: Callable[[int], Batch]
    objective: Objective
    config: TrainConfig
    work: Path
    progress: Progress
    numerics: Numerics
    group: ProcessGroup
    evaluate: Callable[[int], dict[str, float]] | None = None
    mirror: Mirror | None = None

    def __post_init__(self) -> None:
        self.device = floats.configure_torch(self.numerics)
        self.model.to(self.device)
        self.parts: Callable[[int], list[Batch]] = self.micro_batches
        if self.device == "cuda":
            self.parts = Ahead(self.micro_batches, partial(torch.cuda.set_device, torch.cuda.current_device()))
        self.stopped: Stopped | None = None
        self.optimizers = optimizer.build(self.model, self.config.optimizer)
        self.result, self.writer, self.write_model = TrainResult(), CheckpointWriter(), self.default_writer("")
        args = self.config, self.progress, self.numerics
        self.train_progress = TrainProgress(*args) if self.group.is_main else None

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.result.losses)

    def run(self, until: int) -> TrainResult:
        """Resume from the newest checkpoint, then train to step `until`."""
        if not self.resume():
            self.save()
        if self.group.is_main and (line := floats.replaced(self.numerics)):
            self.progress.log(line)
        if self.numerics.compile:
            floats.compile_training(self.model)
        self.model.train()
        with floats.denormals_flushed(), self.writer:
            while self.step < until:
                self.train_step()
        return self.result

    def train_step(self) -> None:
        """One optimizer step, or a return to the newest checkpoint if the loss is bad."""
        number = self.next_batch()
        parts = self.parts(number)
        torch.manual_seed(number * self.group.size + self.group.rank)  # dropout of a batch is the same after a kill
        loss, norm, count, stop = self.gradients(parts)
        if self.is_bad(loss, norm):
            self.roll_back(number, loss)
            return
        rate = lr_schedule.rate(self.step, self.config.steps, self.config.optimizer)
        self.optimizers.step(rate)
        self.result.losses.append(loss)
        self.result.grad_norms.append(norm)
        self.result.num_targets += count
        self.after_step(sum(part.ids_BT.numel() for part in parts), rate, stop)

    def next_batch(self) -> int:
        """Number of the batch for this step; skipped batches are passed over."""
        number = self.step
        for skipped in sorted(self.result.skipped):
            number += skipped <= number
        return number

    def micro_batches(self, number: int) -> list[Batch]:
        """This process's part of a batch, as each forward pass takes it; for a GPU in pinned memory, on a thread."""
        local = self.batches(number)
        shorter = max(1, self.config.context // local.ids_BT.shape[1])
        size = self.config.micro_batch * shorter if self.config.micro_batch else max(1, len(local.ids_BT))
        parts = [local.slice(start, start + size) for start in range(0, len(local.ids_BT), size)]
        return [part.pinned() for part in parts] if self.device == "cuda" else parts

    def gradients(self, parts: list[Batch]) -> tuple[float, float, int, bool]:
        """Fill the gradients of the mean loss.

        Returns it, the norm of its gradient before clipping, all targets, and whether one of
        several processes must stop.
        """
        targets = torch.full((), float(sum(part.num_targets for part in parts)), device=self.device)
        self.group.all_reduce([targets])
        total = torch.zeros((), device=self.device)
        for part in parts:
            with floats.autocast(self.numerics):
                loss = self.objective(self.model, part.to(self.device))
            (loss / targets.clamp(min=1)).backward()
            total += loss.detach()
        asked = torch.full((), float(self.group.size > 1 and self.asked_to_stop()), device=self.device)
        trained = list(self.optimizers.names)
        if self.group.size > 1:
            for parameter in trained:  # a process without examples still takes part in the sum
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
        self.group.all_reduce([total, asked, *gradients])
        norm = torch.nn.utils.get_total_norm(gradients)
        loss, length, number, stop = torch.stack([total, norm, targets, asked]).tolist()  # a step's one wait
        if not length < self.config.optimizer.grad_clip:  # else a pass over all gradients to multiply them by 1
            torch.nn.utils.clip_grads_with_norm_(trained, self.config.optimizer.grad_clip, norm)
        return loss / max(1, number), length, int(number), stop > 0

    def after_step(self, tokens: int, rate: float, stop: bool) -> None:
        """Evaluate, save, report, and end if asked to."""
        done, every = self.step == self.config.steps, self.config.eval_every
        judged = self.evaluate is not None and (done or bool(every and self.step % every == 0))
        if judged:
            self.group.on_main(self.judge)
        times = [self.config.checkpoint_every, *([self.config.keep_every] if self.config.keep_every else [])]
        saved = done or any(self.step % every == 0 for every in times) or (judged and self.is_best())
        if saved:
            asynchronous = (self.writer.slow or self.mirror is not None) and not done
            self.save(asynchronous=asynchronous and self.has_room())
        if self.train_progress:
            self.train_progress.show(self.result, tokens * self.group.size, rate)
        if stop or (self.group.size == 1 and self.asked_to_stop()):
            if not saved:
                self.save()
            raise self.stopped or Stopped("Stopped", "another process of this training was stopped")

    def judge(self) -> None:
        """Keep what the evaluation returns at this step."""
        assert self.evaluate
        self.model.eval()
        self.result.evals.append({"step": self.step} | self.evaluate(self.step))
        self.model.train()

    def is_best(self) -> bool:
        """Whether this step was just evaluated, and did better than all before, where that one is to be kept."""
        evaluated = [one for one in self.result.evals if "loss" in one] if self.config.keep_best else []
        best = bool(evaluated) and min(evaluated, key=lambda one: one["loss"])["step"] == self.step
        return self.group.any_rank(best) if self.config.keep_best else False

    def asked_to_stop(self) -> bool:
        """Whether this process must stop; it keeps the reason."""
        try:
            self.progress.raise_if_stopped()
        except Stopped as request:
            self.stopped = request
        return self.stopped is not None

    # -- bad losses ----------------------------------------------------------------------------------------------------

    def is_bad(self, loss: float, norm: float) -> bool:
        """Whether this loss should not be trained on: not finite, or far above the recent ones.

        Far above means more than `spike_nats` and more than 8 times the recent losses' spread
        (median absolute deviation) above their median. The multiple of the spread adapts to noisy
        objectives; the 2 nats that are usual keep the ordinary ups and downs of a run whose losses
        hardly vary from counting as spikes. Example: losses of 3.0 with a spread of 0.05 tolerate
        5.0 (3.0 + max(2, 0.4)); with one of 0.5 they tolerate 7.0 (3.0 + max(2, 4)).
        """
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return True
        recent = self.result.losses[-RECENT:]  # none of them bad: a bad loss is never appended
        if len(recent) < RECENT:  # too few for a spread, and the first losses fall fast
            return False
        middle = statistics.median(recent)
        spread = statistics.median(abs(value - middle) for value in recent)
        return loss > middle + max(self.config.spike_nats, 8 * spread)

    def roll_back(self, number: int, loss: float) -> None:
        """Return to the newest checkpoint and pass over batch `number` from now on."""
        step, skipped = self.step, sorted({*self.result.skipped, number})
        if len(skipped) > self.config.max_rollbacks:
            remedy = self.config.remedy or (
                f"lower {self.config.name}.optimizer.matrix_lr and embedding_lr, or raise max_rollbacks (now "
                f"{self.config.max_rollbacks})"
            )
            raise UserError(
                f"{self.config.name}: the loss was {loss:.4g} at step {step}, after {len(skipped) - 1} batches had "
                f"been passed over already; {remedy}"
            )
        self.optimizers.clear_gradients()
        assert self.resume(), "a checkpoint is saved before the first step"
        self.result.skipped = skipped
        self.progress.log(f"loss {loss:.4g} at step {step}: back to step {self.step}, batch {number} is passed over")

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def save(self, asynchronous: bool = False) -> None:
        """Write a checkpoint; if `asynchronous`, a copy, on a thread while training goes on."""
        self.writer.finish()
        if self.group.is_main:
            tensors = {f"optimizer/{name}": tensor for name, tensor in self.optimizers.state().items()}
            for name in ("losses", "grad_norms"):
                tensors[name] = torch.tensor(getattr(self.result, name), dtype=torch.float64)
            state = {"evals": [*self.result.evals], "skipped": [*self.result.skipped]}
            state |= {"num_targets": self.result.num_targets}
            model = self.model
            if asynchronous:  # training goes on while the thread writes: it needs a copy
                tensors = {name: tensor.to("cpu", copy=True) for name, tensor in tensors.items()}
                model = copy.deepcopy(model).to("cpu")
            write_model, work, step = partial(self.write_model, model, self.step), self.work, self.step
            retain, keep, mirror = self.retain(), self.config.keep, self.mirror

            def write() -> None:
                folder = checkpoint.save(work, step, keep, write_model, tensors, state, retain)
                if mirror:
                    mirror.send(folder, checkpoint.steps(work))

            self.writer.write(write, asynchronous)
        self.group.barrier()

    def has_room(self) -> bool:
        """Whether memory has room for a copy of all state."""
        state = [*self.optimizers.state().values(), *self.model.parameters()]
        return sum(tensor.nbytes for tensor in state) < device_memory.free()

    def retain(self) -> Callable[[int], bool]:
        """Predicate of the old checkpoints to keep: every `keep_every` steps, and the best on held-out text."""
        every, saved = self.config.keep_every, {*checkpoint.steps(self.work), self.step}
        evaluated = [one for one in self.result.evals if "loss" in one and one["step"] in saved]
        best = min(evaluated, key=lambda one: one["loss"])["step"] if evaluated and self.config.keep_best else None
        return lambda step: step == best or bool(every and step % every == 0)

    def resume(self) -> bool:
        """Load the newest undamaged checkpoint, chosen by rank 0; False if there is none."""
        self.writer.finish()
        step = self.newest() if self.group.is_main else None
        step = self.group.broadcast(-1 if step is None else step)
        if step < 0:
            return False
        folder = checkpoint.folder_of(self.work, step)
        weights, tensors, state = checkpoint.read(folder)
        self.load_parameters(weights)
        prefix = "optimizer/"
        optimizer_state = {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
        self.optimizers.load_state(optimizer_state)
        losses, grad_norms = tensors["losses"].tolist(), tensors["grad_norms"].tolist()
        self.result = TrainResult(losses, grad_norms, **state)
        if self.step:
            self.progress.log(f"going on from step {self.step} ({folder.name})")
        return True

    def newest(self) -> int | None:
        """Step of the newest whole checkpoint, fetched from the mirror if that has a newer one."""
        step = checkpoint.newest(self.work, self.progress.log)
        if self.mirror and not self.result.losses:  # a run that is under way has sent what it has
            self.mirror.fetch_newer(self.work, -1 if step is None else step)
            step = checkpoint.newest(self.work, self.progress.log)
        return step

    def load_parameters(self, weights: dict[str, Tensor]) -> None:
        """Fill the trained parameters from a checkpoint."""
        with torch.no_grad():
            for parameter, name in self.optimizers.names.items():
                parameter.copy_(weights[export.hub_name(name) if self.model_is_plain else name].to(parameter.device))

    @property
    def model_is_plain(self) -> bool:
        """Whether a checkpoint has all parameters, named as in `transformers`; else it has the trained ones alone."""
        return isinstance(self.model, Transformer) and not has_lora(self.model)

    def default_writer(self, tokenizer_json: str) -> WriteModel:
        """Writer of a checkpoint's model folder; see `train`."""

        def write(model: nn.Module, step: int, folder: Path) -> None:
            if self.model_is_plain:
                assert isinstance(model, Transformer)
                export.save(model, tokenizer_json, folder, {"training": {"steps": step}})
            else:
                trained: dict[str, Tensor] = {
                    name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad
                }
                export.save_tensors(trained, folder / "model.safetensors")

        return write
