"""The report of dedup: its pairs, examples and repeated lines, recounted from the texts by plain Python."""

import csv
import itertools
import re
from collections import Counter
from operator import itemgetter
from pathlib import Path

import pytest

from components.core.files import read_json
from components.corpus.corpus import Document
from tests.components.real_text import document
from tests.components.stages.dedup.test_stage import dropped, named, plain_jaccard, planted, run, stated_jaccard

LICENCE = "Redistribution and use in source and binary forms, with or without modification, are permitted."
HEADER = "Parameters of the function, in the order in which they come:\nNONE of them is ever looked at by anybody"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Document], list[Document]]:
    """A planted corpus, deduplicated."""
    folder = tmp_path_factory.mktemp("dedup-report")
    heldout, train = planted()
    train += [document(f"licence/{at}", f"{LICENCE}\n\n{HEADER}\n\n{each.text}") for at, each in enumerate(train[:6])]
    run(folder, heldout, train)
    return folder, heldout, train


def table(folder: Path, name: str) -> list[dict[str, str]]:
    """Rows of a file of details."""
    with (folder / "reports/details" / name).open() as file:
        return list(csv.DictReader(file))


def test_one_file_names_the_document_kept_for_each_removed_one(done: tuple) -> None:
    folder, heldout, _ = done
    held, rows = {each.id for each in heldout}, table(folder, "removed.csv")
    found = {(row["removed"], row["kept"], row["heldout"] == "true", float(row["jaccard"])) for row in rows}
    assert found == {
        (row["id"], named(row), named(row) in held, stated_jaccard(row)) for row in dropped(folder / "out")
    }
    assert len(rows) == len({row["removed"] for row in rows})
    assert len(list(itertools.groupby(rows, key=itemgetter("kept")))) == len({row["kept"] for row in rows})


def test_examples_show_what_differs_and_the_least_similar_pair(done: tuple) -> None:
    folder, heldout, train = done
    text = (folder / "reports/details/examples.md").read_text()
    texts = {each.id: each.text for each in [*heldout, *train]}
    near = [row for row in dropped(folder / "out") if row["rule"].endswith("near_duplicate")]
    assert f"## Jaccard {min(map(stated_jaccard, near)):.3f}" in text
    sections = text.split("\n## ")[1:]
    assert len(sections) > 6
    for section in sections:
        stays, went = re.findall(r"\(([0-9a-f]{16})\)", section)[:2]
        similarity = re.findall(r"^Jaccard ([\d.]+)", section)[0]
        assert float(similarity) == pytest.approx(plain_jaccard(texts[stays], texts[went]), abs=6e-4)
        changes = section.partition("```diff\n")[2].partition("\n```")[0].splitlines()
        assert changes
        for line in changes:
            if line[:1] in "-+" and "'''" not in line:
                assert line[1:160] in texts[stays if line[0] == "-" else went]


def test_repeated_lines_and_paragraphs_are_all_counted(done: tuple) -> None:
    folder, heldout, train = done
    lines, paragraphs = Counter[str](), Counter[str]()
    for each in [*heldout, *train]:
        text = each.text.lower()
        lines.update(line for line in text.split("\n") if len(line.encode()) >= 40)
        paragraphs.update(part for part in re.findall(r"[^\n]+(?:\n[^\n]+)*", text) if len(part.encode()) >= 100)
    metrics = read_json(folder / "reports/metrics.json")
    rows = table(folder, "boilerplate.csv")
    for kind, counts in (("lines", lines), ("paragraphs", paragraphs)):
        size = {text: len(text.encode()) for text in counts}
        extra = {text: (count - 1) * size[text] for text, count in counts.items()}
        total = sum(count * size[text] for text, count in counts.items())
        assert metrics["repeated"][kind] == pytest.approx(sum(extra.values()) / total, abs=1e-4)
        mine = [row for row in rows if row["kind"] == kind]
        assert [(int(row["count"]) - 1) * int(row["bytes"]) for row in mine] == sorted(extra.values())[::-1][:20]
        beginnings = {(text[:300], counts[text], size[text]) for text in counts}
        assert all((row["text"], int(row["count"]), int(row["bytes"])) in beginnings for row in mine)
    assert (lines[LICENCE.lower()], paragraphs[HEADER.lower()]) == (6, 6)
