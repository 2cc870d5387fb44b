"""The whole pipeline on a Ray cluster: data as on one machine."""

import os
from pathlib import Path

import pytest

from tests.components.cluster.conftest import Nodes
from tests.flows.pipeline_clone import make_clone


@pytest.mark.long
@pytest.mark.xdist_group("ray")
def test_a_pipeline_on_a_cluster_has_the_data_of_one_machine(nodes: Nodes, tmp_path: Path) -> None:
    here, there = make_clone(tmp_path / "here"), make_clone(tmp_path / "there")
    there.set(runtime__engine="ray", runtime__ray_address=nodes.address)
    here.run("greenhouse", "run")
    said = there.run("greenhouse", "run")
    assert there.outputs().keys() == here.outputs().keys()
    assert not [path for path, digest in here.outputs().items()
                if path.startswith(("data/", "models/")) and there.outputs()[path] != digest]  # fmt: skip
    states = dict(there.prefect_rows("select state_name, count(*) from task_run group by 1"))
    assert states.keys() == {"Completed"}, said
    jobs = {path.name.split("-")[2] for path in Path(os.environ["TMPDIR"]).rglob("worker-*.out")}
    assert len(jobs) >= 5, "of ingest, dedup, filter, bias and mix each is a job of the cluster"
