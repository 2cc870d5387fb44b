"""What forgetting costs against its price, and whether the bytes are those of a run that never had the document."""

import json

from benchmarks.proof.place import Place, made

PRICE = """
import json
from components.lineage.documents import Query
from flows.forget import rows_to_redo
from flows.plan import sum_of
from flows.tracking.model_exposure import workspace_view
from flows.tracking.trace_report import answers
found = [match.document for match in answers(Query("location", {name!r}))]
seconds, kwh = sum_of([row.expected for row in rows_to_redo(found)])
print(json.dumps([kwh.low, kwh.mid, kwh.high]))
"""
SPENT = """
from components.carbon.ledger import reader
from flows.system import paths
print(reader.read(paths.LEDGER).energy.mid_kwh)
"""
OUTPUTS = """
import json
from flows.tracking.snapshots import find
print(json.dumps(find("workspace").outputs()))
"""
RECORDS = ("reports/", "data/ingest/dropped", "data/ingest/quarantine")
"""Outputs that may say that something was removed."""


def measure(place: Place, files: dict[str, bytes], preset: str, keep_every: int) -> dict:
    """Forget a file that was trained on, in a clone that has run; and run another that never had it.

    Returns:
        price and actual energy in kWh, `price_error`, `bytes_equal` (share of the outputs), and those that differ.
    """
    name = forgettable(place, list(files))
    price = json.loads(place.ask(PRICE.format(name=name)))
    before = float(place.ask(SPENT))
    place.run("flows.forget", name, "--apply")
    actual = float(place.ask(SPENT)) - before
    never = made(place.root.parent / "never", {one: files[one] for one in files if one != name}, preset, keep_every)
    never.run("flows.pipeline")
    ours, theirs = (json.loads(one.ask(OUTPUTS)) for one in (place, never))
    compared = [path for path in ours if not path.startswith(RECORDS)]
    other = [path for path in compared if ours[path] != theirs.get(path)]
    return {
        "query": name,
        "price_kwh": price,
        "actual_kwh": actual,
        "price_error": abs(price[1] - actual) / actual,
        "bytes_equal": 1 - len(other) / len(compared),
        "differ": other,
    }


def forgettable(place: Place, names: list[str]) -> str:
    """A file whose text is in the mixture and not in the held-out set."""
    from components.corpus.corpus import read_corpus

    def of(folder: str) -> set[str]:
        return {one.location.split("#")[0] for one in read_corpus(place.root / folder)}

    trained = of("data/mix/train") - of("data/ingest/heldout")
    return next(name for name in names if name in trained)
