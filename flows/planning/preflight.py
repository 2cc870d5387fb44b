"""Checks before the first stage begins: settings against the files and the hardware that are here.

Each stage checks this itself when it begins, with the same sentences; a run that may come to it
should not have worked for minutes by then.
"""

import os
import resource
from collections.abc import Collection
from pathlib import Path
from typing import cast

from components.core.errors import UserError
from components.params import Branch, Files, Hub, Ingest, Params
from flows.system.disk import human

ADDRESSES = {"RLIMIT_AS": ("-v", 4.0e9), "RLIMIT_DATA": ("-d", 2.5e9)}
"""Limit of a process -> its letter in `ulimit`, and the addresses that a run needs on two processors: 3.8 and 2.1 GB at
the size of tests/small.yaml. Under less, OpenBLAS waits for ever for memory, and polars aborts."""
PER_PROCESSOR = 8e6
"""Addresses of the threads that numpy, polars and torch start per processor: measured from 2 to 64 threads."""


def raise_if_limited() -> None:
    """Raise `UserError` if a process may have fewer addresses than the libraries of a run need."""
    for name, (letter, fewest) in ADDRESSES.items():
        limit, needed = resource.getrlimit(getattr(resource, name))[0], fewest + PER_PROCESSOR * (os.cpu_count() or 1)
        if resource.RLIM_INFINITY != limit < needed:
            raise UserError(
                f"a process may have {human(limit)} of addresses (`ulimit {letter}`), and a run needs {human(needed)} "
                f"or more, of which it fills a part; type `ulimit {letter} unlimited`, or limit its memory otherwise "
                "(`systemd-run --user --scope -p MemoryMax=4G`)"
            )


def raise_if_unfit(params: Params, root: Path, stages: Collection[str]) -> None:
    """Check what these stages need.

    Args:
        root: the checkout that they run in.

    Raises:
        UserError: a source, the opt-out list, rows, a base, a licence, a language, a package, an
            evaluation set, a grid or the device does not exist, or a network does not fit its
            settings or the memory.
    """
    if "ingest" in stages:
        _sources(params.ingest, root)
    if "filter" in stages:
        from components.stages.filter.pii_packages import check_packages

        check_packages(params.filter.redact)
    if "filter" in stages and params.filter.languages:
        from components.stages.filter.stage import check_languages

        check_languages(params.filter)
    from components.stages.account.summary import MODELS

    own_models = [f"models/{name}" for name in MODELS]
    tuned = {name: one for name, one in params.finetune.stages().items() if f"finetune@{name}" in stages}
    for name, one in tuned.items():
        if not one.data.startswith("data/"):
            _rows(name, root / one.data, one.data)
        params.numerics.raise_if_idle(f"finetune.{name}", one.batch)
        _base(name, one.base, root, own_models)
    trains = any(stage.startswith(("pretrain", "finetune")) for stage in stages)
    if trains and (params.numerics.device == "cuda" or params.numerics.compile):  # else torch need not be imported
        from components.training.numerics import raise_if_missing

        raise_if_missing(params.numerics)
    for branch in ("causal", "masked"):
        if f"pretrain@{branch}" in stages:
            _network(params, branch)
    if "evaluate" in stages and params.evaluate.tasks:
        from components.stages.evaluate.tasks.harness import known

        known(params.evaluate.tasks, root)
    if "account" in stages:
        from components.carbon.footprint import intensity
        from components.stages.ingest.licences import licence_param

        intensity.resolve(params.runtime.grid, root)
        if params.account.licence:
            licence_param(params.account.licence, "account.licence")


def _base(branch: str, base: str, root: Path, own_models: Collection[str]) -> None:
    """The model that is tuned: whether it is there, whole, and of a kind that this branch tunes."""
    if base in own_models:  # as it is, or as this run makes it
        is_causal = not base.endswith(("/masked", "/classify"))
    elif not (root / base).is_dir():
        hint = f"give a folder with a model, or one of {', '.join(own_models)}"
        raise UserError(f"finetune.{branch}.base = {base}: no such folder; {hint}; one of a hub is fetched by "
                        "`greenhouse edit rows ROWS --base OWNER/NAME@COMMIT`")  # fmt: skip
    else:
        from components.model.export import inspected

        try:
            is_causal = inspected(root / base, branch == "classify")[0].causal
        except UserError as error:
            raise UserError(f"finetune.{branch}.base: {error}") from None
    if branch != "classify" and not is_causal:
        raise UserError(f"finetune.{branch}.base = {base}: no causal model; give the one that pretrain@causal wrote")


def _rows(branch: str, path: Path, shown: str) -> None:
    """Rows of one's own: whether they are there and for this branch, by the first readable one."""
    from components.finetuning_data.formats import files_of, kind_at
    from components.finetuning_data.rows import raise_if_other_kind

    if not path.exists():
        raise UserError(f"finetune.{branch}.data = {shown}: no such file or folder; give a path that is there")
    if (path / "manifest.json").exists():  # a corpus
        return
    for kind in map(kind_at, files_of(path)):
        if kind:
            raise_if_other_kind(cast(Branch, branch), Path(shown), kind)
            return


def _network(params: Params, branch: str) -> None:
    from components.model.shape import derive_shape
    from components.stages.pretrain.memory_check import refuse_what_cannot_fit

    section, numerics = getattr(params.pretrain, branch), params.numerics
    numerics.raise_if_idle(f"pretrain.{branch}", section.batch)
    shape = derive_shape(section.model, params.tokenize.vocab_size, section.context, branch == "causal")
    refuse_what_cannot_fit(f"pretrain.{branch}", section, shape, numerics)


def _sources(params: Ingest, root: Path) -> None:
    from components.stages.ingest.hub import raise_if_missing
    from components.stages.ingest.licences import Policy, licence_param
    from components.stages.ingest.opt_out import load as load_opt_out
    from components.stages.ingest.remote_files import is_remote
    from components.stages.ingest.sources import hub_dataset, watched_path

    Policy(params.licences)
    load_opt_out(root / params.opt_out)
    for source in params.sources:
        if isinstance(source, (Files, Hub)):
            licence_param(source.licence, f"ingest source {source.name} licence")
        if isinstance(source, Files) and not is_remote(source.path):
            watched_path(source.path, params, root, source.name)
        if isinstance(source, Hub):
            raise_if_missing(hub_dataset(source, params, root))
