"""The form of `pipeline`: the settings people change most, and `key=value` for every other one.

It is filled from params.yaml. A field counts only where its value differs from what it was filled
with, so that it does not undo a preset: first the preset, then the changed fields, then `settings`.
"""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from components import params as schema
from components.core.errors import UserError
from components.core.files import fingerprint, nested
from components.core.plain_text import plain_name
from components.params import ParamFiles, Params, Section, layout, yaml_text
from flows.system import paths
from flows.system.params_file import preset_names, reaching, read_preset

FIELDS = {
    "vocabulary": "tokenize.vocab_size",
    "size": "pretrain.common.model.size",
    "width": "pretrain.common.model.width",
    "steps": "pretrain.common.steps",
    "matrix_lr": "pretrain.common.optimizer.matrix_lr",
    "seed": "pretrain.common.seed",
    "task": "finetune.instruct.task",
    "device": "numerics.device",
}
"""Field -> file key. What both branches of pretraining share is shown as the causal one has it, and set for both."""

_SHIPPED = Params()
_TRAINED = _SHIPPED.pretrain.causal
Setting = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+ *=.*$")]


class PipelineForm(Section):
    """What people change most. Leave all as it is to bring the workspace up to date."""

    settings: list[Setting] = Field(default=[])
    """Any key as key=value, such as dedup.threshold=0.8 (docs/guide.md). Sources of text: the form stage-ingest."""
    preset: str = Field(default="", json_schema_extra={"enum": ["", *preset_names()]})
    """A preset of presets/ to take for this run; empty for none. Fields that you change win over it."""
    vocabulary: int = Field(default=_SHIPPED.tokenize.vocab_size, ge=300, le=200_000)
    """Tokens in the vocabulary (tokenize.vocab_size)."""
    size: int = Field(default=_TRAINED.model.size, ge=1, le=128)
    """Blocks of both networks (pretrain.common.model.size)."""
    width: int | None = Field(default=_TRAINED.model.width, ge=16)
    """Residual width of both networks; null derives it from the size (pretrain.common.model.width)."""
    steps: int = Field(default=_TRAINED.steps, ge=1)
    """Pretraining steps of both models (pretrain.common.steps)."""
    matrix_lr: float = Field(default=_TRAINED.optimizer.matrix_lr, gt=0.0)
    """Peak learning rate of the matrices (pretrain.common.optimizer.matrix_lr)."""
    seed: int = _TRAINED.seed
    """Seed of both pretrainings: initialisation, data order, masks (pretrain.common.seed)."""
    task: Literal["auto", "describe", "heading", "continue"] = _SHIPPED.finetune.instruct.task
    """Task of instruction tuning; auto takes the first that the corpus can feed (finetune.instruct.task)."""
    device: Literal["cpu", "cuda"] = _SHIPPED.numerics.device
    """Where tensors live (numerics.device)."""

    @classmethod
    def filled(cls, params: Params) -> "PipelineForm":
        """The form as it is shown for these parameters."""
        tree = params.model_dump(mode="json")
        shown = {name: key.replace(layout.COMMON, "pretrain.causal") for name, key in FIELDS.items()}
        return cls.model_validate({name: layout.value_at(tree, key) for name, key in shown.items()})

    def applied(self, files: ParamFiles) -> Params:
        """The parameters of a run with this form over the files it was filled from.

        Raises:
            UserError: no such preset, an unknown key, or a value out of range: one field or key is
                named.
        """
        changed = self._changed(files.params())
        pairs = [_setting(entry) for entry in self.settings]
        for number, (key, value) in enumerate(pairs):
            _refuse_contradiction(key, value, changed | dict(pairs[:number]))
        if self.preset:
            files = files.overlaid(nested(reaching(layout.leaves(read_preset(self.preset)), files.own)))
        files = files.overlaid(nested(reaching(changed, files.own)))
        settings = nested(reaching(dict(pairs), files.own))
        return ParamFiles(files.overlaid(settings).own, Path("the settings of this run")).params()

    def _changed(self, configured: Params) -> dict[str, Any]:
        """File key -> value of the fields that were sent and differ from what they were filled with."""
        sent, filled = self.model_dump(mode="json", exclude_unset=True), self.filled(configured).model_dump(mode="json")
        shown = _leaves(filled)
        return {key: value for key, value in _leaves(sent).items() if value != shown[key]}


def _leaves(fields: dict[str, Any]) -> dict[str, Any]:
    """File key -> value of what the fields hold."""
    return layout.leaves(nested({key: fields[name] for name, key in FIELDS.items() if name in fields}))


def _refuse_contradiction(key: str, value: Any, given: dict[str, Any]) -> None:
    if key in given and given[key] != value:
        raise UserError(f"{key} is given twice, as {given[key]} and as {value}; leave one of them out")


def _setting(entry: str) -> tuple[str, Any]:
    """File key and value of `key=value`; the value is YAML."""
    key, _, text = (part.strip() for part in entry.partition("="))
    keys = layout.file_keys()
    *_, shared = layout.shared_places(key)
    if not layout.is_key(key):
        below = [name for name in keys if not keys[name].section and name.startswith(f"{shared}.")]
        if below:
            child = below[0].removeprefix(shared)
            raise UserError(f"settings: {key}: a section, not a key; give one of its keys, such as {key}{child}")
        leaves = [leaf for name in keys if not keys[name].section for leaf in (name, *layout.sharers(name))]
        near = [leaf for leaf in leaves if leaf.endswith(f".{key}")] or difflib.get_close_matches(key, leaves, 1, 0.6)
        meant = f"did you mean {', '.join(dict.fromkeys(near))}? " if near else ""
        raise UserError(f"settings: {key}: no such key; {meant}docs/guide.md says where the keys are")
    try:
        return key, yaml_text.load(text)
    except yaml.YAMLError:
        raise UserError(f"settings: {key}: {text!r} is no YAML; write it as in params.yaml") from None


# -- before a run ------------------------------------------------------------------------------------------------------

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}")
"""Names of runs: they become those of folders, records and experiments."""


def check_run_name(name: str) -> None:
    """Raise `UserError` if a run cannot have that name."""
    if not RUN_NAME.fullmatch(name):
        raise UserError(f"run name {plain_name(name)!r}: use letters, digits, spaces and . _ - only, 100 at most")


def params_hash(params: Params) -> str:
    """Names the values a form was filled from."""
    return fingerprint(params.model_dump(mode="json"))


def refuse_stale_form(form_hash: str, configured: Params) -> None:
    """Refuse a run whose form was filled from other values than params.yaml holds now."""
    if form_hash and form_hash != params_hash(configured):
        raise UserError(
            "this form was filled from an older params.yaml, so values you did not touch would count as changes; "
            "reload the page and fill it again"
        )


def chosen_params(form: PipelineForm | None, form_hash: str) -> Params | None:
    """The parameters that a form asks for; None for params.yaml as it is when the run begins.

    Raises:
        UserError: params.yaml is not valid, the form is stale, or one of its fields is out of
            range.
    """
    if form is None:
        return None
    files = schema.read(paths.PARAMS)
    refuse_stale_form(form_hash, files.params())
    return form.applied(files)
