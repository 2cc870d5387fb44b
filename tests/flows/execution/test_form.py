"""The form of `pipeline`: short, true, and every other key by name; an error names one field."""

import logging
from typing import Any

import pytest
from prefect.exceptions import FailedRun, ParameterTypeError, SignatureMismatchError

from components import params as schema
from components.params import document, layout
from flows import run
from flows.execution import cli
from flows.execution.form import FIELDS, PipelineForm, params_hash
from flows.forms import STUDIES, form_of
from flows.pipeline import pipeline as flow_of_pipeline
from flows.system import paths
from tests.errors import refused, refuses, shows

MOST_FIELDS = 10
FILES = schema.read(paths.ROOT / "params.yaml", document.params_text())
OWN = FILES.params()


def applied(files: schema.ParamFiles = FILES, **fields: Any) -> schema.Params:
    """The parameters of a form with some fields changed."""
    form = PipelineForm.filled(files.params())
    return PipelineForm.model_validate(form.model_dump() | fields).applied(files)


def test_it_is_short_and_every_field_is_described() -> None:
    fields = PipelineForm.model_fields
    assert len(fields) + len(["until"]) <= MOST_FIELDS + len(["settings"])
    assert {*fields} == {*FIELDS, "preset", "settings"}
    assert next(iter(fields)) == "settings"
    assert all(field.description for field in fields.values())


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_has_the_type_and_limits_of_its_key(name: str) -> None:
    shipped: Any = OWN
    for part in FIELDS[name].replace(layout.COMMON, "pretrain.causal").split("."):
        field, shipped = type(shipped).model_fields[part], getattr(shipped, part)
    mine = PipelineForm.model_fields[name]
    assert (mine.annotation, mine.metadata, mine.default) == (field.annotation, field.metadata, shipped)
    assert FIELDS[name] in layout.file_keys()


def test_left_as_it_is_it_changes_nothing() -> None:
    assert applied() == OWN
    mine = FILES.overlaid({"pretrain": {"causal": {"steps": 7}}, "mix": {"weights": {"shakespeare": 2.0}}})
    assert applied(mine) == mine.params()
    assert PipelineForm.model_validate({"settings": []}).applied(mine) == mine.params(), "a field that is not sent"


def test_fields_are_the_keys_they_name() -> None:
    params = applied(vocabulary=512, steps=9, width=None, device="cuda", task="heading")
    assert params.tokenize.vocab_size == 512
    assert {params.pretrain.causal.steps, params.pretrain.masked.steps} == {9}
    assert params.pretrain.masked.model.width == 128
    assert params.numerics.device == "cuda"
    assert params.finetune.instruct.task == "heading"


def test_a_shared_field_is_set_for_a_branch_that_has_its_own_value() -> None:
    mine = FILES.overlaid({"pretrain": {"masked": {"steps": 7}}})
    assert applied(mine, steps=9).pretrain.masked.steps == 9
    assert applied(mine, settings=["pretrain.common.steps=9"]).pretrain.masked.steps == 9
    assert applied(mine, preset="gpu-124m").pretrain == applied(preset="gpu-124m").pretrain
    both = applied(mine, settings=["pretrain.common.steps=9", "pretrain.masked.steps=5"]).pretrain
    assert (both.causal.steps, both.masked.steps) == (9, 5)


def test_any_other_key_is_a_setting() -> None:
    settings = ["dedup.threshold=0.8", "dedup.bands = 16", "mix.weights={shakespeare: 2}", "filter.redact=[email]"]
    settings += ["pretrain.masked.optimizer.grad_clip=2.0", "account.licence=''", "runtime.grid.pue=1.5"]
    settings += ["filter.rules=off"]
    params = applied(settings=settings)
    assert (params.dedup.threshold, params.dedup.bands) == (0.8, 16)
    assert params.mix.weights == {"shakespeare": 2.0}
    assert (params.filter.redact, params.filter.rules) == (["email"], "off")
    assert params.pretrain.masked.optimizer.grad_clip == 2.0
    assert params.pretrain.causal == OWN.pretrain.causal
    assert params.runtime.grid.pue == 1.5


TWICE = "form._refuse_contradiction"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"settings": ["dedup.treshold=0.8"]}, ["form._setting.2", "settings: dedup.treshold", "dedup.threshold?"]),
        ({"settings": ["dedup={}"]}, ["form._setting.1", "settings: dedup"]),
        ({"settings": ["finetune.instruct=20"]}, ["form._setting.1", "finetune.instruct"]),
        ({"settings": ["eval_every=1"]}, ["form._setting.2", "pretrain.common.eval_every, pretrain.masked.eval_every"]),
        ({"settings": ["nokey=1"]}, ["form._setting.2", "settings: nokey", "docs/guide.md"]),
        ({"settings": ["pretrain.causal.stepz=1"]}, ["form._setting.2", "pretrain.causal.steps?"]),
        ({"settings": ["finetune.instruct.stpes=1"]}, ["form._setting.2", "finetune.instruct.steps?"]),
        ({"settings": ["dedup.threshold=7"]}, ["ParamFiles.params", "this run: dedup.threshold = 7", "equal to 1"]),
        ({"settings": ["filter.redact=[email"]}, ["form._setting.3", "settings: filter.redact: '[email'"]),
        ({"steps": 901, "settings": ["pretrain.common.steps=902"]}, [TWICE, "pretrain.common.steps", "901 and as 902"]),
        ({"settings": ["dedup.threshold=0.8", "dedup.threshold=0.7"]}, [TWICE, "dedup.threshold", "0.8 and as 0.7"]),
        ({"preset": "gpu"}, ["read_tree.1", "gpu.yaml", "cpu-40min, gpu-124m, overnight-cpu"]),
    ],
)
def test_an_error_names_one_field(fields: dict[str, Any], says: list[str]) -> None:
    with refused(*says) as error:
        applied(**fields)
    assert str(paths.ROOT / "the") not in str(error.value)
    assert "\n" not in str(error.value)


def test_the_same_value_twice_and_another_for_one_branch_are_no_contradiction() -> None:
    same = ["pretrain.common.steps=9", "pretrain.common.steps=9", "runtime.budget.hours=3"]
    params = applied(steps=9, settings=[*same, "pretrain.masked.steps=5"])
    assert (params.pretrain.causal.steps, params.pretrain.masked.steps) == (9, 5)
    assert params.runtime.budget.hours == 3.0


def test_in_a_terminal_it_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """An experiment that should end early ran to its end, and nobody said that `until` was not heeded."""
    monkeypatch.setattr(run.dvc, "require_stage", lambda *_: None)
    monkeypatch.setattr(run.dvc, "graph", dict)
    monkeypatch.setattr(cli, "with_prefect", lambda *_: pytest.fail("started"))
    with refused("form._setting.2", "pretrain.causal.sed", "pretrain.causal.seed?"):
        run.run_from_terminal("", ["pretrain.causal.sed=5"])
    refuses(lambda: run.run_from_terminal("mix", ["mix.seed=5"]), "refuse_until", "until mix")
    form = PipelineForm(settings=["mix.seed=5"])
    ended = flow_of_pipeline.fn(form, params_hash(OWN), "mix")
    assert ended.is_failed()
    shows(str(ended.message), "refuse_until", "until mix")


def test_a_stage_that_does_not_exist_or_is_off_is_refused_before_anything_runs() -> None:
    """From Prefect's form the one meant the whole pipeline, and the other completed: nothing to do."""
    for state, *says in (
        (flow_of_pipeline.fn(until="nosuch"), "require_stage", "until = nosuch", "ingest, dedup"),
        (form_of("finetune").fn(branch="prefer"), "raise_if_off", "finetune@prefer", "finetune.prefer.base"),  # type: ignore[union-attr]
    ):
        assert state.is_failed()
        shows(str(state.message), *says)


def test_a_runs_log_has_tracebacks_of_mistakes_alone() -> None:
    """Prefect raises a state that says `Failed`, and showed where in its own code."""
    logger = logging.getLogger("prefect.flow_runs")

    def shown(error: Exception) -> bool:
        trace = (type(error), error, None)
        return bool(logger.filter(logger.makeRecord(logger.name, logging.ERROR, "", 1, "it ended", (), trace)))

    assert not shown(FailedRun("until = nosuch: no such stage"))
    assert shown(KeyError("a mistake"))


@pytest.mark.parametrize("name", STUDIES)
def test_the_form_of_a_study_does_not_promise_an_experiment(name: str) -> None:
    said = form_of(name).parameters.properties["params"]  # type: ignore[union-attr]
    assert "changed values hold for this run of the study alone" in str(said)
    assert "changed values make an experiment" in str(form_of("mix").parameters.properties["params"])  # type: ignore[union-attr]


def test_a_value_that_a_form_lets_through_leaves_a_sentence_in_the_log() -> None:
    """Prefect adds tracebacks of its own code."""
    logger, lines = logging.getLogger("prefect.flow_runs"), list[str]()
    for name, sent in (("scaling", {"params": {"steps": [5, 2]}}), ("mix", {"colour": "red"})):
        with pytest.raises((ParameterTypeError, SignatureMismatchError)) as raised:
            form_of(name).validate_parameters(sent)  # type: ignore[union-attr]
        trace = (raised.type, raised.value, raised.tb)
        record = logger.makeRecord(logger.name, logging.ERROR, "", 1, "Engine execution exited", (), trace)
        if logger.filter(record):
            lines.append(logging.Formatter().format(record))
    steps, colour = lines
    shows(steps, "Scaling._range_is_one", "params")
    assert colour.endswith("but was provided with parameters ['colour']; correct what was sent")
    assert not any("\n" in line for line in lines)
