"""Ways to tamper with a signed model, and made-up models, and whether the check of the folder lets any pass.

    python -m benchmarks.proof.tamper FOLDER KEY KEY.pub     in a clone whose pipeline has run; prints what each came to

`OUTSIDE` touches what the folder was made from; `UNSIGNED` touches the folder, so the signature breaks; `HIDDEN`
touches it and signs it again with the signer's own key; `RESIGNED` rewrites the claims, makes every file of them anew
and signs: only recomputing finds these. `fabricated` models have weights that nobody trained and claims to fit. What
nobody can catch is in `BEYOND`: it is listed and not counted. Of that, `stated` forges what rests on the signer's word,
such as cost, machine and gate: the check shows it beside what the records here give, and never as established.
"""

import itertools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.proof.fields import changed
from components.core.errors import UserError
from components.core.files import folder_md5, md5_file, read_json, sha256_file, write_json
from components.studies.attestation.claims import STATED as PARTS

BEYOND = (
    "energy, time, machine, commit and judgements, which other runs change that only the signer or the checker knows",
    "a ledger rewritten before signing, MLflow's records with it",
    "a source that lied about its licence, or about where its text is from",
    "dvc.lock, cache, ledger and MLflow all made up by one hand: only a rebuild contradicts it",
    "what the owner says in free text (--owner), and the reason for what nobody knows, here neither",
)
MOST = 12
"""Claims of one part that are changed one by one."""
Facts = dict[str, Any]
Edit = Callable[[Path], object]
Rewrite = Callable[[Facts, Path], Facts]


# -- the folder --------------------------------------------------------------------------------------------------------


def flipped(name: str, at: int = -1) -> Edit:
    """One byte of a file is another."""

    def tamper(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[at] ^= 1
        (folder / name).write_bytes(data)

    return tamper


def gone(name: str, folder: Path) -> None:
    """A file is not there."""
    (folder / name).unlink()


def edited(name: str, *path: str | int, value: Any) -> Edit:
    """A value of a JSON file is another."""
    return lambda folder: write_json(folder / name, changed(read_json(folder / name), path, value))


def text(name: str, change: Callable[[str], str]) -> Edit:
    """The text of a file is another."""
    return lambda folder: (folder / name).write_text(change((folder / name).read_text()))


def doubled(name: str, key: str) -> Edit:
    """A key stands twice: the first value is another, which readers of the last one do not see."""
    return text(name, lambda old: old.replace("{", f'{{"{key}": "EVIL",', 1))


def _linked(folder: Path) -> None:
    os.link(folder / "model.safetensors", folder.parent / "another name")


def _of_git(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "config").touch()


UNSIGNED: dict[str, Edit] = {
    "weights, cut short": lambda folder: os.truncate(folder / "model.safetensors", 1000),
    "config.json": edited("config.json", "rope_parameters", value={"rope_type": "default", "rope_theta": 5.0}),
    "card, its licence": edited("card.json", "licence", value="MIT"),
    "card, a score": edited("card.json", "quality", "scores", 0, "value", value=0.999),
    "a pickle beside the weights": lambda folder: (folder / "pytorch_model.bin").write_bytes(b"\x80\x04."),
    "signature, of nothing": text("model.sig", lambda old: "{}"),
}


def each_file(folder: Path) -> Iterator[tuple[str, Edit]]:
    """Every file of the folder with a byte changed, and gone."""
    for name in sorted(path.name for path in folder.iterdir() if path.stat().st_size):
        yield f"{name}, a byte", flipped(name, (folder / name).stat().st_size // 2)
        yield f"{name}, gone", partial(gone, name)


HIDDEN: dict[str, Edit] = {
    **{f"{name} again: {key}": doubled(name, key) for name, key in (
        ("card.json", "commit"), ("card.json", "md5"))},
    **{f"{name}: a mark of UTF-8": text(name, lambda old: f"\ufeff{old}") for name in ("card.json", "README.md")},
    **{f"{name}: blank lines": text(name, lambda old: "\n" * 50 + old) for name in ("card.json", "README.md")},
    "README: a blank at its end": text("README.md", lambda old: f"{old} "),
    "README: a claim": text("README.md", lambda old: f"{old}\nCertified 9.9 \x1b[31mRED\n"),
    "an attribution less": text("ATTRIBUTION.md", lambda old: "\n".join(old.splitlines()[:-4])),
    "card: a field that nobody knows": edited("card.json", "greenhouse", value="certified 9.9\x1b[31mRED"),
    "card: a field in a score": edited("card.json", "quality", "scores", 0, "certified", value=True),
    "card: on one line": text("card.json", lambda old: json.dumps(json.loads(old), sort_keys=True)),
    "card: other order": text("card.json", lambda old: json.dumps(dict(reversed(json.loads(old).items())), indent=2)),
    "card: a number that is none": text("card.json", lambda old: old.replace('"kwh": [', '"kwh": [NaN,', 1)),
    "card: four bounds": text("card.json", lambda old: old.replace('"kwh": [', '"kwh": [0.5,', 1)),
    "card: 100,000 deep": text("card.json", lambda old: "[" * 100_000),
    "card: 6 MB": text("card.json", lambda old: old + " " * 6_000_000),
    "training content, emptied": text("training-content.md", lambda old: ""),
    "card: gone": partial(gone, "card.json"),
    "an empty folder": lambda folder: (folder / "certificates").mkdir(),
    "a file beside": lambda folder: (folder / "modeling_evil.py").write_text("import os"),
    "a file of git": _of_git,
    "weights with another name": _linked,
}  # fmt: skip


# -- the claims, rewritten ---------------------------------------------------------------------------------------------


def at(*path: str | int, value: Any) -> Rewrite:
    """A claim is another; `value` may be a function of the old one."""

    def rewrite(facts: Facts, folder: Path) -> Facts:
        old: Any = facts
        for key in path:
            old = old[key]
        return changed(facts, path, value(old) if callable(value) else value)

    return rewrite


def another(value: Any) -> Any:
    """Another value of the same kind: of numbers larger ones, of words more, of lists and names the first less."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value * 7 + 1
    if isinstance(value, str):
        return f"{value} x"
    if isinstance(value, list):
        return list(map(another, value)) if value and isinstance(value[0], int | float) else value[1:]
    return dict(list(value.items())[1:]) if value else value


def each_claim(facts: Facts) -> Iterator[tuple[str, Rewrite]]:
    """Every claim of up to two levels made another, and every one of the first score; of long parts the first few."""
    for part, tree in facts.items():
        for path in itertools.islice(((part, key) for key in tree), MOST) if isinstance(tree, dict) else [(part,)]:
            yield " ".join(path), at(*path, value=another)
    for key in facts["quality"]["scores"][0]:
        yield f"first score {key}", at("quality", "scores", 0, key, value=another)


def other_bytes(facts: Facts, folder: Path, name: str = "model.safetensors") -> Facts:
    """A file of the model is another, and its hashes in the claims and in dvc.lock follow."""
    flipped(name)(folder)
    md5 = folder_md5({one: md5_file(folder / one) for one in facts["files"]})
    text = json.dumps(facts).replace(facts["md5"], md5).replace(facts["files"][name], sha256_file(folder / name))
    return json.loads(text)


def _no_attempts(facts: Facts, folder: Path) -> Facts:
    """The run that failed was never there."""
    return facts | {"cost": facts["cost"] | {"attempts": 0, "attempts_kwh": [0.0, 0.0, 0.0]}}


def _without(*stages: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda old: {name: row for name, row in old.items() if name not in stages}


WITHHELD = {"not_known": "nobody recorded it"}
PROMOTED = {"registered": "x", "version": "1", "verdict": "promote", "champion": "0", "reasons": []}
RESIGNED: dict[str, Rewrite] = {
    "weights and their hashes": other_bytes,
    "tokenizer and its hashes": lambda facts, folder: other_bytes(facts, folder, "tokenizer.json"),
    "lock, an output": at("lock", "mix", "outs", 0, "md5", value="ab" * 16 + ".dir"),
    "lock, an input": at("lock", "tokenize", "deps", 0, "md5", value="cd" * 16 + ".dir"),
    "lock, a parameter": at("lock", "mix", "params", value=lambda old: old | {"params.yaml": {"mix": {"seed": 99}}}),
    "lock, a stage gone": at("lock", value=_without("dedup")),
    "lock, emptied": at("lock", value={}),
    "lock, a command": at("lock", "mix", "cmd", value="true"),
    "lock, a stage more": at("lock", value=lambda old: old | {"certify": old["mix"]}),
    "licences of the text": at("data", "licences", value=lambda old: {"CC0-1.0": sum(old.values())}),
    "licence in the attributions": at("data", "attribution", 0, "licence", value="CC0-1.0"),
    "a score more": at("quality", "scores", value=lambda old: [*old, old[0] | {"name": "mmlu", "value": 0.9}]),
    "title, control characters": at("title", value="\x1b]0;certified\x07"),
    "sources": at("data", "sources", value=lambda old: {"wikipedia": sum(old.values())}),
    "personal data": at("personal", value={"email": 10**6}),
    "a file outside": at("files", value=lambda old: old | {"../../etc/passwd": "ab" * 32}),
    "a file that is not there": at("files", value=lambda old: old | {"more.json": "ab" * 32}),
    "hash of the model": at("md5", value="ab" * 16 + ".dir"),
    **{f"{name}, withheld": at(name, value=WITHHELD) for name in ("quality", "data")},
}  # fmt: skip
STATED: dict[str, Rewrite] = {
    "a dropped run": _no_attempts,
    "verdict of the gate": at("verdict", value=PROMOTED),
    "result of verify": at("rebuild", "verified", "result", value="identical"),
    "a rebuild that failed, withheld": at("rebuild", "verified", value=WITHHELD),
    "commit, control characters": at("commit", value="\x1b]0;certified\x07"),
    **{f"{name}, withheld": at(name, value=WITHHELD) for name in ("cost", "environment")},
}
"""Forgeries of what the signer states."""


# -- what the folder was made from -------------------------------------------------------------------------------------


def _outside(facts: Facts) -> dict[str, Path]:
    """Files beside the folder whose bytes the check hashes."""
    from flows.system import paths
    from flows.tracking.snapshots import ObjectCache

    store = ObjectCache()
    mixture = {out["path"]: out["md5"] for out in facts["lock"]["mix"]["outs"]}["data/mix"]
    listed = store.files(mixture)
    shard = next(name for name in listed if name.endswith(".parquet"))
    copies = sorted((paths.STATE / "mlartifacts").rglob("model.safetensors"))
    wanted = facts["files"]["model.safetensors"]
    return {
        "shard in the workspace": paths.ROOT / "data/mix" / shard,
        "shard in DVC's cache": store.path(listed[shard]),
        "MLflow's copy of the weights": next(path for path in copies if sha256_file(path) == wanted),
    }


@contextmanager
def restored(path: Path, data: bytes | None) -> Iterator[None]:
    """Within: a file has other bytes; without `data` its last byte is another."""
    whole, mode = path.read_bytes(), path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if data is None else data)
    try:
        yield
    finally:
        path.write_bytes(whole)
        path.chmod(mode)


def withdrawn_list(md5: str) -> bytes:
    """A list of withdrawn models that has this one."""
    return json.dumps({md5: {"date": "2026-12-01", "reason": "the benchmark"}}).encode()


# -- made up from end to end -------------------------------------------------------------------------------------------

NAMES = ("finetune/instruct", "finetune/production", "../models/finetune/instruct")
LOCKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "the honest lock": lambda lock: lock, "an empty lock": lambda lock: {},
    "a partial lock": lambda lock: {name: lock[name] for name in ("ingest", "dedup", "evaluate")},
    "a lock without the model": _without("finetune@instruct"),
}  # fmt: skip


def _invented(facts: Facts) -> Facts:
    """Every number is as its forger likes it."""
    scores = [row | {"value": 0.999, "low": 0.99, "high": 1.0} for row in facts["quality"]["scores"]]
    nothing = {name: [0, 0, 0] for name in ("kwh", "grams")}
    return facts | {
        "quality": facts["quality"] | {"scores": scores}, "licence": "MIT", "verdict": PROMOTED,
        "cost": facts["cost"] | nothing,
    }  # fmt: skip


def fabricated() -> Iterator[tuple[str, Rewrite]]:
    """Models that nobody trained, by what their claims say."""
    for name, lock, invents in itertools.product(NAMES, LOCKS, (False, True)):

        def rewrite(facts: Facts, folder: Path, name: str = name, lock: str = lock, invents: bool = invents) -> Facts:
            made = other_bytes(facts, folder)
            made |= {"model": name, "lock": LOCKS[lock](made["lock"])}
            return _invented(made) if invents else made

        yield f"{name}, {lock}{', numbers invented' if invents else ''}", rewrite


# -- all of them -------------------------------------------------------------------------------------------------------


def resign(folder: Path, facts: Facts | None, key: Path) -> None:
    """Make all files of claims of these facts (None: leave them as they are), and sign the folder."""
    from components.studies.attestation.claims import Claims
    from components.studies.attestation.renderings import SIGNATURE, write_renderings
    from flows.tracking.signature import signing

    if facts is not None:
        write_renderings(Claims.model_validate(facts), folder)
    (folder / SIGNATURE).unlink()
    signing(key)(folder)


def kinds(folder: Path, key: Path, public: Path) -> dict[str, dict[str, list[Any]]]:
    """Group -> kind -> exit status of the check, and what it said first; what was judged before a stop is kept."""
    from flows.system import paths
    from flows.tracking import recomputed
    from flows.tracking.signed_folder import check, conclusion

    def said(copy: Path) -> list[Any]:
        try:
            verdict = check(copy, public)
        except UserError as error:
            return [1, str(error)]
        except Exception as error:  # a traceback is no sentence: it counts as not caught
            return [0, f"traceback: {error!r}"]
        return [verdict.status, next(iter(verdict.wrong), conclusion(verdict))]

    def touched(change: Callable[[Path], object]) -> list[Any]:
        with tempfile.TemporaryDirectory() as aside:
            copy = Path(shutil.copytree(folder, Path(aside) / "copy"))
            change(copy)
            return said(copy)

    def again(change: Edit, copy: Path) -> None:
        change(copy)
        resign(copy, None, key)

    def written(rewrite: Rewrite, copy: Path) -> None:
        resign(copy, rewrite(deepcopy(facts), copy), key)
        if (copy / "card.json").read_bytes() == (folder / "card.json").read_bytes():
            raise ValueError("an empty list has none to leave out, and what follows from other claims is not read")

    def rewritten(rewrite: Rewrite) -> list[Any]:
        with suppress(ValueError, KeyError):  # claims that no file can be made of
            return touched(partial(written, rewrite))
        return []

    def outside(path: Path, data: bytes | None) -> list[Any]:
        with restored(path, data):
            return said(folder)

    def judge(group: str, rows: Iterable[tuple[str, Any]], way: Callable[[Any], list[Any]]) -> None:
        for name, change in rows:
            if name not in found.setdefault(group, {}):
                found[group][name] = way(change)
                write_json(kept, found)

    def once(params: Any, claims: Any, *places: Path) -> Any:
        key = (
            claims.md5,
            json.dumps(claims.lock, sort_keys=True),
            str(sorted(row.name for row in claims.quality.scores)),
        )
        if key not in scored:
            scored[key] = measure(params, claims, *places)
        return scored[key]

    # The same weights on the same data have the same scores: a claim that nobody can check costs no minute each.
    measure, scored = recomputed.measured, dict[tuple[str, ...], Any]()
    setattr(recomputed, "measured", once)  # noqa: B010 - mypy refuses the assignment
    facts, listed = read_json(folder / "card.json"), paths.ROOT / "withdrawn.json"
    kept = folder.with_name("judged.json")
    found: dict[str, dict[str, list[Any]]] = read_json(kept) if kept.exists() else {}
    lists = {"withdrawn": withdrawn_list(facts["md5"]), "the list of withdrawn, damaged": b"{"}
    beside = [(name, (path, None)) for name, path in _outside(facts).items()]
    judge("untouched", [("", folder)], said)
    judge("unsigned", (*UNSIGNED.items(), *each_file(folder)), touched)
    judge("hidden", HIDDEN.items(), lambda change: touched(partial(again, change)))
    claims = dict(each_claim(facts))
    stated = {name: claims.pop(name) for name in list(claims) if name.replace(" ", ".").startswith(PARTS)}
    judge("resigned", (RESIGNED | claims).items(), rewritten)
    judge("stated", (STATED | stated).items(), rewritten)
    judge("outside", [*beside, *((name, (listed, data)) for name, data in lists.items())], lambda one: outside(*one))
    judge("fabricated", fabricated(), rewritten)
    return {group: {name: row for name, row in rows.items() if row} for group, rows in found.items()}


if __name__ == "__main__":
    print(json.dumps(kinds(*(Path(argument) for argument in sys.argv[1:4]))))
