"""What is kept of a removal, in git, and what a purge refuses."""

from pathlib import Path

import numpy as np

from components.lineage.needles import Needles
from flows.tracking import forgotten
from flows.tracking.forgotten import record, recorded
from flows.tracking.search import Search


def search(salt: int, ids: set[str], runs: list[int], **copies: str) -> Search:
    objects = {(md5, "a file"): output for md5, output in copies.items()}
    return Search(Needles(salt, np.array(runs, np.uint64)), ids, copies=objects, models={"1.dir"})


def test_a_second_removal_by_a_query_adds_to_the_record(checkout: Path) -> None:
    assert recorded("a query").ids == set()
    record("a query", search(7, {"a" * 16}, [3, 9], x1="a of workspace"))
    record("a query ", search(7, {"b" * 16}, [4], x1="a of x", x2="b of x"))
    record("a query", search(7, set(), []))  # an apply that goes on after a kill finds nothing any more
    record("another", search(7, {"c" * 16}, [5]))
    known = recorded("a query")
    assert known.ids == {"a" * 16, "b" * 16}
    assert known.objects == {"x1": "a of workspace", "x2": "b of x"}, "an object may be of another state by now"
    assert (known.models, known.needles.salt, known.needles.own.tolist()) == ({"1.dir"}, 7, [3, 4, 9])
    assert "a query" not in (checkout / forgotten.FILE).read_text()
