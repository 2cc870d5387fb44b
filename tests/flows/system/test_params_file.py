"""Edits of params.yaml are the fewest there can be, and DVC sees, overrides and names every key of both files."""

import contextlib
import shutil
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import parse_yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from components import params as schema
from components.params import document, layout
from flows.system import dvc, params_file

ROOT = Path(__file__).resolve().parents[3]
PARAMS = document.params_text()
FILES = schema.read(ROOT / "params.yaml", PARAMS)


def rewritten(values: dict) -> str:
    """params.yaml with values at keys of the schema; its effective values are checked."""
    wanted = params_file.changed(FILES.params(), values, "test")
    text = params_file.rewritten(FILES, PARAMS, wanted)
    assert parse_yaml(text, "params.yaml"), "DVC reads YAML 1.1"
    assert schema.read(ROOT / "params.yaml", text).params() == wanted
    return text


def added(text: str) -> list[str]:
    """New or changed lines, without their comments."""
    lines = params_file.difference(PARAMS, text)[2:]
    return [line[1:].split("  #")[0].strip() for line in lines if line.startswith("+")]


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        ({}, []),
        ({"dedup.threshold": 0.8}, ["threshold: 0.8"]),
        ({"dedup.bands": 16}, ["bands: 16"]),
        ({"filter.redact": ["email", "card"]}, []),
        ({"mix.canaries.counts": [1, 5]}, ["canaries:", "counts:", "- 1", "- 5"]),
        ({"mix.weights": {"shakespeare": 2.0}}, ["weights: {shakespeare: 2.0}"]),
        ({"pretrain.causal.steps": 5, "pretrain.masked.steps": 5}, ["steps: 5"]),
        ({"pretrain.causal.steps": 5}, ["causal:", "steps: 5"]),
        ({"finetune.classify.steps": 5, "finetune.prefer.steps": 5}, ["steps: 5"]),
        ({"finetune.instruct.steps": 5}, ["steps: 5"]),
        ({"finetune.classify.steps": 5}, ["steps: 5"]),
        ({"pretrain.masked.mask_rate": 0.2}, ["masked:", "mask_rate: 0.2"]),
        ({"pretrain.masked.optimizer.grad_clip": 2.0}, ["masked:", "optimizer:", "grad_clip: 2.0"]),
        (
            {"ingest.sources": [{"kind": "files", "name": "mine", "path": "/texts", "licence": "NOASSERTION"}]},
            ["- kind: files", "name: mine", "path: /texts"],
        ),
        (
            {"finetune.classify.columns": {"text": "Text, frei: {v1}", "label": "Kategorie / label?"}},
            ['columns: {text: "Text, frei: {v1}", label: "Kategorie / label?"}'],
        ),
    ],
    ids=str,
)
def test_an_edit_changes_no_line_that_need_not_change(values: dict, lines: list[str]) -> None:
    assert added(rewritten(values)) == lines
    assert "\n\n " not in rewritten(values)  # a blank line stands before a section, and in none


def test_an_advanced_key_is_added_with_its_description() -> None:
    assert "  bands: 16  # MinHash bands; more of them propose more pairs (recall).\n" in rewritten({"dedup.bands": 16})


@given(st.dictionaries(st.sampled_from(["causal", "masked"]), st.integers(1, 3)), st.booleans())
@settings(max_examples=8)
def test_any_mixture_of_shared_and_own_values_is_read_back(steps: dict[str, int], twice: bool) -> None:
    values = {f"pretrain.{branch}.steps": number for branch, number in steps.items()}
    text = rewritten(values)
    if twice:
        files = schema.read(ROOT / "params.yaml", text)
        assert schema.read(ROOT / "params.yaml", params_file.rewritten(files, text, FILES.params())).params() == (
            FILES.params()
        )


def test_dvc_overrides_every_key(tmp_path: Path) -> None:
    """What `dvc exp run -S key=value`, and `-S +key=value` for a key that params.yaml does not show, do to the file."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    whole = ("ingest.sources", "promote.rules")  # lists and maps of maps: edit the file
    keys = {key: one for key, one in layout.file_keys().items() if not (one.section or key.startswith(whole))}
    values = {key: _other(one.value) for key, one in keys.items()}
    given = [f"{'' if key in layout.SHOWN else '+'}{key}={_hydra(value)}" for key, value in values.items()]
    apply_overrides(tmp_path / "params.yaml", given)
    read = layout.leaves(yaml.safe_load((tmp_path / "params.yaml").read_text()))
    assert {key: read[key] for key in values} == values


@pytest.mark.parametrize(
    ("override", "changes"),
    [
        ("pretrain.common.steps=2", ["-steps:", "+steps: 2"]),
        ("filter.redact=[email,phone]", ["-- ip", "-- card", "-- iban", "-- secret"]),
        ("+mix.canaries.per_count=3", ["+canaries:", "+per_count: 3"]),
    ],
)
def test_an_experiment_of_dvc_changes_no_line_but_its_own(tmp_path: Path, override: str, changes: list[str]) -> None:
    """`dvc exp run -S` writes the files with ruamel.yaml, whose layout they have; `dvc exp apply` brings them so."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    apply_overrides(tmp_path / "params.yaml", [override])
    lines = params_file.difference(PARAMS, (tmp_path / "params.yaml").read_text())[2:]
    assert [line[0] + line[1:].split("#")[0].strip() for line in lines if not line.startswith("@")] == changes


def _other(value: object) -> object:
    """Another value of the kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return {None: 3, "": "x"}.get(value, f"{value}x") if not isinstance(value, list | dict) else value


def _hydra(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else "null" if value is None else str(value)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A DVC repository whose stages have the parameters of ours, and were run."""
    root = tmp_path
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    bare = {}
    for name, stage in stages.items():
        one = {"cmd": "true", "params": stage.get("do", stage)["params"]}
        bare[name] = {"foreach": stage["foreach"], "do": one} if "foreach" in stage else one
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": bare}))
    for name in ("params.yaml", "defaults.yaml"):
        shutil.copy(ROOT / name, root)
    with contextlib.chdir(root), Repo.init(str(root), no_scm=True) as repo:
        repo.reproduce()
    assert dvc.stale(root) == {}
    return root


EDITS = [
    ("params.yaml", "  threshold: 0.7 ", "  threshold: 0.6 "),
    ("params.yaml", "  causal: {}  # Next-token", "  causal:\n    seed: 2  # Next-token"),
    ("params.yaml", "    steps: ", "    steps: 9 "),
    ("params.yaml", "  workers: 2 ", "  workers: 3 "),  # of no stage
    ("defaults.yaml", "mask_rate: 0.3", "mask_rate: 0.2"),
    ("defaults.yaml", "  bands: 32 ", "  bands: 16 "),
    ("defaults.yaml", "grad_clip: 1.0", "grad_clip: 2.0"),
    ("defaults.yaml", "packages: []", "packages: [rich]"),
]
BOTH = {"pretrain.common.steps: None -> 9", "defaults.yaml:pretrain.common.optimizer.grad_clip: 1.0 -> 2.0"}
REASONS = {
    "ingest": {"defaults.yaml:ingest.source_defaults.packages.packages: [] -> ['rich']"},
    "dedup": {"dedup.threshold: 0.7 -> 0.6", "defaults.yaml:dedup.bands: 32 -> 16"},
    "pretrain@causal": BOTH | {"pretrain.causal.seed: None -> 2"},
    "pretrain@masked": BOTH | {"defaults.yaml:pretrain.masked.mask_rate: 0.3 -> 0.2"},
}


def test_a_changed_value_or_default_makes_its_stages_stale_and_is_named(repository: Path) -> None:
    before = dvc.fingerprints(repository)
    for name, old, new in EDITS:
        text = (repository / name).read_text()
        assert old in text
        (repository / name).write_text(text.replace(old, new, 1))
    stale, after = dvc.stale(repository), dvc.fingerprints(repository)
    assert {stage: set(reasons) for stage, reasons in stale.items()} == {
        stage: {f"key {reason}" for reason in reasons} for stage, reasons in REASONS.items()
    }
    assert {stage for stage in before if before[stage] != after[stage]} == set(REASONS)


def test_every_key_that_may_change_bytes_is_a_parameter_of_a_stage() -> None:
    """Of both files. `runtime` is neutral; the gate belongs to no stage."""
    read: dict[str, set[str]] = {"params.yaml": set(), "defaults.yaml": set()}
    for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values():
        names = stage.get("foreach", [""])
        if isinstance(names, str):  # `${finetune}`: a section with a branch per stage
            names = type(getattr(schema.Params(), names[2:-1])).model_fields
        for entry in stage.get("do", stage)["params"]:
            for file, sections in entry.items() if isinstance(entry, dict) else [("params.yaml", [entry])]:
                read[file] |= {s.replace("${item}", n).replace("${key}", n) for s in sections for n in names}
    for key, one in layout.file_keys().items():
        if not one.section and key.split(".")[0] not in ("runtime", "promote"):
            for file, sections in read.items():
                told = f"no stage of dvc.yaml reads {key} of {file}"
                assert any(key.startswith(f"{section}.") for section in sections), told
