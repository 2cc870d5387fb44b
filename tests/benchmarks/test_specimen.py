"""The specimen in docs: what today's code makes of its claims is what lies there, and its record is whole."""

from benchmarks.specimen.__main__ import KEPT
from components.studies.attestation.renderings import claims_in, renderings
from greenhouse_record.record import read

SIGNED = KEPT / "signed"


def test_the_specimen_is_what_todays_code_makes_of_its_card() -> None:
    made = renderings(claims_in(SIGNED))
    assert [name for name, data in made.items() if (SIGNED / name).read_bytes() != data] == []
    assert read(SIGNED / "record.jsonl").attempts[-1].outcome == "Completed"
    assert len(made) > 3
