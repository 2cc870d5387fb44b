"""What is refused before the first stage begins."""

import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
from torch._inductor.exc import InvalidCxxCompiler

from components.params import parse
from flows.planning.preflight import raise_if_limited, raise_if_unfit
from tests.errors import refused, refuses

SOURCE = {"kind": "files", "name": "own", "path": "texts"}
BASE = {"instruct": {}, "classify": {"base": "nobody/nothing"}}
ROWS = {"instruct": {"data": "rows.jsonl"}, "classify": {}}


@pytest.fixture(autouse=True)
def opt_out(tmp_path: Path) -> None:
    """The empty list that ships, and a folder of rows."""
    (tmp_path / "opt_out.txt").touch()
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "rows.jsonl").write_text('{"prompt": "Why?", "completion": "So."}\n')


LICENCE, WIDTH = "licence_param", "derive_shape.1"


@pytest.mark.parametrize(
    ("tree", "stage", "says"),
    [
        ({"ingest": {"sources": [SOURCE], "watch": "texts"}}, "ingest", ["sources.watched_path.1", "texts"]),
        ({"ingest": {"sources": [SOURCE | {"licence": "MINE"}], "watch": "texts"}}, "ingest", [LICENCE, "'MINE'"]),
        ({"ingest": {"licences": {"deny": ["MINE"]}}}, "ingest", [LICENCE, "'MINE'"]),
        ({"ingest": {"opt_out": "nope.txt"}}, "ingest", ["opt_out.load", "ingest.opt_out", "nope.txt: No such file"]),
        ({"filter": {"languages": ["german"]}}, "filter", ["check_languages", "'german'"]),
        ({"filter": {"redact": ["phonenumbers"]}}, "filter", ["check_packages", "phonenumbers", "`pii`: pip install"]),
        ({"finetune": ROWS}, "finetune@instruct", ["preflight._rows", "rows.jsonl"]),
        ({"finetune": BASE}, "finetune@classify", ["preflight._base.1", "base = nobody/nothing"]),
        ({"finetune": {"instruct": {"base": "models/pretrain/masked"}}}, "finetune@instruct", ["preflight._base.3"]),
        ({"finetune": {"classify": {"base": "rows"}}}, "finetune@classify", ["preflight._base.2", "config.json"]),
        ({"pretrain": {"causal": {"model": {"width": 101}}}}, "pretrain@causal", [WIDTH, "model.width", 2]),
        ({"pretrain": {"masked": {"model": {"heads": 3}}}}, "pretrain@masked", [WIDTH, "model.width", 6]),
        ({"pretrain": {"causal": {"context": 10**9}}}, "pretrain@causal", ["refuse_what_cannot_fit.1"]),
        ({"numerics": {"processes": 100}}, "pretrain@masked", ["raise_if_idle", 100, "pretrain.masked.batch"]),
        ({"numerics": {"processes": 100}}, "finetune@classify", ["raise_if_idle", 100, "finetune.classify.batch"]),
        ({"numerics": {"device": "cuda"}}, "pretrain@causal", ["numerics.raise_if_missing.1"]),
        ({"numerics": {"compile": True}}, "pretrain@masked", ["numerics.raise_if_missing.2"]),
        ({"evaluate": {"tasks": ["eval_sets/no.yaml"]}}, "evaluate", ["harness.known.3", "eval_sets/no.yaml"]),
        ({"runtime": {"grid": {"zone": "ATLANTIS"}}}, "account", ["zone_mean", "runtime.grid.zone = 'ATLANTIS'"]),
        ({"account": {"licence": "MINE"}}, "account", [LICENCE, "account.licence = 'MINE'"]),
    ],
)
def test_what_a_stage_would_refuse_is_refused_before_any_begins(
    tree: dict, stage: str, says: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", no_compiler)
    monkeypatch.setattr("components.stages.filter.pii_packages.find_spec", lambda name: None)
    params = parse(tree)
    raise_if_unfit(params, tmp_path, ["mix"])  # of stages that do not run nothing is asked
    refuses(lambda: raise_if_unfit(params, tmp_path, ["mix", stage]), *says)


def test_rows_for_another_branch_are_refused_and_others_are_not(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "rows.jsonl").write_text('["no row"]\n{"prompt": "Why?", "completion": "So."}\n')
    raise_if_unfit(parse({"finetune": {"instruct": {"data": "mine"}}}), tmp_path, ["finetune@instruct"])
    params = parse({"finetune": {"classify": {"data": "mine"}}})
    with refused("raise_if_other_kind", "finetune.classify.data = mine", "chat", "classify"):
        raise_if_unfit(params, tmp_path, ["finetune@classify"])


def no_compiler() -> str:
    raise InvalidCxxCompiler


class EmptyHub(BaseHTTPRequestHandler):
    """A hub that has no data set of any name."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def empty_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """That hub in place of huggingface.co, and an empty cache of data sets."""
    server = HTTPServer(("127.0.0.1", 0), EmptyHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    yield
    server.shutdown()
    server.server_close()


def test_a_data_set_that_the_hub_does_not_have_is_refused_unless_it_is_cached_or_no_hub_is_asked(
    empty_hub: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = parse({"ingest": {"sources": [{"kind": "hub", "dataset": "owner/name", "revision": "a" * 40}]}})
    refuses(lambda: raise_if_unfit(params, tmp_path, ["ingest"]), "hub.raise_if_missing", "owner/name@aaaaaaaa")
    with monkeypatch.context() as offline:
        offline.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        raise_if_unfit(params, tmp_path, ["ingest"])
    with monkeypatch.context() as unreachable:
        unreachable.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
        raise_if_unfit(params, tmp_path, ["ingest"])
    (tmp_path / "cache" / "owner___name").mkdir(parents=True)
    raise_if_unfit(params, tmp_path, ["ingest"])


def test_a_limit_on_addresses_is_named_before_anything_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenBLAS waited for memory, deaf to SIGTERM; with a little more, polars aborted after minutes."""
    command = f"ulimit -v 1500000; {sys.executable} -m flows.cli run"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("run: a process may have 1.5 GB of addresses (`ulimit -v`), and a run needs ")
    limits = {resource.RLIMIT_AS: resource.RLIM_INFINITY, resource.RLIMIT_DATA: resource.RLIM_INFINITY}
    monkeypatch.setattr(resource, "getrlimit", lambda name: (limits[name], resource.RLIM_INFINITY))
    raise_if_limited()
    limits[resource.RLIMIT_DATA] = 1_000_000_000
    refuses(raise_if_limited, "raise_if_limited", "1.0 GB", "`ulimit -d unlimited`")
    limits[resource.RLIMIT_DATA] = 10**12
    raise_if_limited()


def test_the_parameters_that_ship_pass(tmp_path: Path) -> None:
    stages = ["ingest", "filter", "pretrain@causal", "finetune@instruct", "finetune@classify", "account"]
    raise_if_unfit(parse({}), tmp_path, stages)
