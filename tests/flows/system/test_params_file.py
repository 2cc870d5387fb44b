"""Edits of params.yaml are the fewest there can be, and DVC sees, overrides and names every key of both files."""

import contextlib
import shutil
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides
from hypothesis import given, settings
from hypothesis import strategies as st

from components import params as schema
from components.params import document, layout
from flows.execution.stage_flow import STUDIES
from flows.system import dvc, params_file

ROOT = Path(__file__).resolve().parents[3]
PARAMS = document.params_text()
FILES = schema.read(ROOT / "params.yaml", PARAMS)
STEPS = FILES.params().pretrain.causal.steps


def rewritten(values: dict) -> str:
    """params.yaml with values at keys of the schema; its effective values are checked."""
    wanted = params_file.changed(FILES.params(), values, "test")
    text = params_file.rewritten(FILES, PARAMS, wanted)
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
        ({"mix.canaries.counts": [1, 5]}, ["- 5"]),
        ({"mix.weights": {"shakespeare": 2.0}}, ["weights: {shakespeare: 2.0}"]),
        ({"pretrain.causal.steps": 5, "pretrain.masked.steps": 5}, ["steps: 5"]),
        ({"pretrain.causal.steps": 5}, ["steps: 5"]),
        (
            {"scaling.budgets": [3e11, 1.25e15], "scaling.checks": [2.0]},
            ["- 3.0e+11", "- 1.25e+15", "- 2.0"],
        ),
        ({"pretrain.masked.mask_rate": 0.2}, ["mask_rate: 0.2"]),
        ({"pretrain.masked.optimizer.grad_clip": 2.0}, ["optimizer:", "grad_clip: 2.0"]),
        (
            {"ingest.sources": [{"kind": "files", "name": "mine", "path": "/texts", "licence": "NOASSERTION"}]},
            ["- kind: files", "name: mine", "path: /texts"],
        ),
    ],
    ids=str,
)
def test_an_edit_changes_no_line_that_need_not_change(values: dict, lines: list[str]) -> None:
    assert added(rewritten(values)) == lines


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
    """What `dvc exp run -S key=value`, and `-S defaults.yaml:key=value` for an advanced key, do to the files."""
    for name in ("params.yaml", "defaults.yaml"):
        shutil.copy(ROOT / name, tmp_path)
        whole = ("ingest.sources", "ingest.source_defaults", "promote.rules")  # lists and maps of maps: edit the file
        keys = {key: one for key, one in layout.file_keys().items() if not (one.section or key.startswith(whole))}
        mine = {key: _other(one.value) for key, one in keys.items() if one.advanced == (name == "defaults.yaml")}
        apply_overrides(tmp_path / name, [f"{key}={_hydra(value)}" for key, value in mine.items()])
        read = layout.leaves(yaml.safe_load((tmp_path / name).read_text()))
        assert {key: read[key] for key in mine} == mine
    apply_overrides(tmp_path / "params.yaml", ["+dedup.bands=8", "+pretrain.causal.optimizer.grad_clip=3.0"])
    own = yaml.safe_load((tmp_path / "params.yaml").read_text())
    assert own["dedup"]["bands"] == 8
    assert own["pretrain"]["causal"]["optimizer"] == {"grad_clip": 3.0}


@pytest.mark.parametrize(
    ("file", "override", "changes"),
    [
        ("params.yaml", "pretrain.common.micro_batch=2", ["-micro_batch:", "+micro_batch: 2"]),
        ("params.yaml", "mix.canaries.counts=[1,2]", ["-- 4", "-- 16", "-- 64", "+- 2"]),
        ("defaults.yaml", "filter.rules.max_top_3gram=0.5", ["-max_top_3gram:", "+max_top_3gram: 0.5"]),
    ],
)
def test_an_experiment_of_dvc_changes_no_line_but_its_own(
    tmp_path: Path, file: str, override: str, changes: list[str]
) -> None:
    """`dvc exp run -S` writes the files with ruamel.yaml, whose layout they have; `dvc exp apply` brings them so."""
    shutil.copy(ROOT / file, tmp_path)
    apply_overrides(tmp_path / file, [override])
    lines = params_file.difference((ROOT / file).read_text(), (tmp_path / file).read_text())[2:]
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


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC repository whose stages have the parameters of ours, and were run."""
    root = tmp_path_factory.mktemp("repository")
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


MASKED, CAUSAL = "pretrain@masked", "pretrain@causal"


@pytest.mark.parametrize(
    ("edits", "reasons"),
    [
        (
            [("params.yaml", "  ngram: 5 ", "  ngram: 6 "), ("params.yaml", "mask_rate: 0.3", "mask_rate: 0.2")],
            {"dedup": "dedup.ngram: 5 -> 6", MASKED: "pretrain.masked.mask_rate: 0.3 -> 0.2"},
        ),
        (
            [
                ("defaults.yaml", "  bands: 32 ", "  bands: 16 "),
                ("params.yaml", "  causal:  # Next-token", "  causal:\n    seed: 2  # Next-token"),
            ],
            {"dedup": "defaults.yaml:dedup.bands: 32 -> 16", CAUSAL: "pretrain.causal.seed: None -> 2"},
        ),
        (
            [("defaults.yaml", "grad_clip: 1.0", "grad_clip: 2.0"), ("params.yaml", "  workers: 2 ", "  workers: 3 ")],
            dict.fromkeys([MASKED, CAUSAL], "defaults.yaml:pretrain.common.optimizer.grad_clip: 1.0 -> 2.0"),
        ),
        (
            [
                ("params.yaml", f"    steps: {STEPS} ", "    steps: 9 "),
                ("defaults.yaml", "packages: []", "packages: [rich]"),
            ],
            dict.fromkeys([MASKED, CAUSAL], f"pretrain.common.steps: {STEPS} -> 9")
            | {"ingest": "defaults.yaml:ingest.source_defaults.packages.packages: [] -> ['rich']"},
        ),
    ],
)
def test_a_changed_value_or_default_makes_its_stages_stale_and_is_named(
    repository: Path, edits: list[tuple[str, str, str]], reasons: dict[str, str]
) -> None:
    texts = {name: (repository / name).read_text() for name in ("params.yaml", "defaults.yaml")}
    before = dvc.fingerprints(repository)
    for name, old, new in edits:
        text = (repository / name).read_text()
        assert old in text
        (repository / name).write_text(text.replace(old, new, 1))
    stale, after = dvc.stale(repository), dvc.fingerprints(repository)
    for name, text in texts.items():
        (repository / name).write_text(text)
    assert stale == {stage: [f"key {reason}"] for stage, reason in reasons.items()}
    assert {stage for stage in before if before[stage] != after[stage]} == set(reasons)


def test_every_key_that_may_change_bytes_is_a_parameter_of_a_stage() -> None:
    """Of its own file. `runtime` is neutral; studies and the gate belong to no stage."""
    found: dict[str, set[str]] = {"params.yaml": set(), "defaults.yaml": set()}
    for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values():
        names = stage.get("foreach", [""])
        if isinstance(names, str):  # `${finetune}`: a section with a branch per stage
            names = type(getattr(schema.Params(), names[2:-1])).model_fields
        for entry in stage.get("do", stage)["params"]:
            for file, sections in entry.items() if isinstance(entry, dict) else [("params.yaml", [entry])]:
                found[file] |= {s.replace("${item}", n).replace("${key}", n) for s in sections for n in names}
    for key, one in layout.file_keys().items():
        if one.section or key.split(".")[0] in ("runtime", *STUDIES):
            continue
        sections = found["defaults.yaml" if one.advanced else "params.yaml"]
        assert any(key.startswith(f"{section}.") for section in sections), f"no stage of dvc.yaml reads {key}"
