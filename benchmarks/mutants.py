"""Would the tests notice? Small changes to the modules that figures rest on: `make bench NAME=mutants`.

Of each module 25 seeded changes (a comparison, an operator, a constant, a condition, a result, a call left out), one
at a time, in a clone of the last commit. A change is killed if one of the module's tests fails, or hangs. Its tests
run in a process that is forked from one which has imported the packages of others. Every result is kept in
.greenhouse/mutants/tried.jsonl: a run that is stopped goes on, and what survived is tried again at another commit.

With `--matrix`, of each of the 40 largest modules: all fast tests whose coverage (pytest-cov, once a commit) meets the
changed line run, and those are printed whose every kill two others make. A line more than MOST_TESTS meet is left out.
"""

import argparse
import ast
import copy
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from benchmarks.results import goal, write
from benchmarks.stamp import commit
from flows.system.paths import ROOT, STATE

OWN = ("components", "flows", "greenhouse_record", "tests")
FOLDER = STATE / "mutants"
TREE = FOLDER / "tree"
CARBON, EVALUATE, SYSTEM = "tests/components/carbon", "tests/components/stages/evaluate", "tests/flows/system"
GOLDEN = "tests/components/test_golden.py"
MODULES: dict[str, tuple[str, tuple[str, ...]]] = {
    "loader": (
        "recorder/greenhouse_record/order.py",
        ("tests/components/training/test_data_order.py", "tests/recorder/test_order.py", GOLDEN),
    ),
    "attribution": ("recorder/greenhouse_record/metering/attribution.py", ("tests/recorder/test_attribution.py",)),
    "ledger": ("components/carbon/ledger/reader.py", (f"{CARBON}/ledger",)),
    "statistics": ("components/statistics.py", ("tests/components/test_statistics.py",)),
    "gate": ("components/studies/promotion_gate.py", ("tests/components/studies/test_promotion_gate.py",)),
    "scaling law": ("components/studies/scaling/law.py", ("tests/components/studies/scaling/test_law.py",)),
    "forecast": ("components/carbon/planning/forecast.py", (f"{CARBON}/planning/test_forecast.py",)),
    "budget": ("components/carbon/planning/budget.py", (f"{CARBON}/planning/test_budget.py",)),
    "held-out cut": (
        "components/stages/ingest/heldout_split.py", ("tests/components/stages/ingest/test_heldout_split.py", GOLDEN)
    ),
    "checkpoint": ("components/training/checkpoint.py", ("tests/components/training/test_checkpoint.py",)),
    "scoring": ("components/stages/evaluate/tasks/scoring.py", (f"{EVALUATE}/tasks/test_scoring.py",)),
    "personal data": ("components/stages/filter/pii.py", ("tests/components/stages/filter/test_pii.py",)),
    "fingerprint": (
        "flows/system/dvc.py",
        (f"{SYSTEM}/test_dvc.py", f"{SYSTEM}/test_damage.py", f"{SYSTEM}/test_code_files.py"),
    ),
    "experiments": ("flows/execution/experiment.py", ("tests/flows/execution/test_experiment.py",)),
}  # fmt: skip
"""Name -> the module, and the tests that must notice."""
_STRICT = "the lengths are equal by construction"
EQUIVALENT: dict[str, str] = {
    "attribution: MeterState: 4 -> 5": "the length of a random name",
    "ledger: _shares: True -> False": _STRICT,
    "ledger: _shares: num_files[boots[path]] > 1 -> num_files[boots[path]] >= 1": "one meter writes a file, so that its"
    " readings do not overlap: they count whole either way",
    "statistics: within: self.low is None or self.high is None -> self.low is None and self.high is None": "an estimate"
    " has both bounds or none",
    "statistics: of: 4000000 -> 4000001": "the size of a block, after which the same blocks are joined",
    "statistics: holm: 0.0 -> 1.0": "every entry of the list is set",
    "scaling law: minimum: True -> False": "pairs come apart into lists of equal length",
    "budget: check: True -> False #4": "whether a printed line is flushed",
    "budget: module: TYPE_CHECKING -> not TYPE_CHECKING": "names of annotations are then imported in vain",
    "personal data: _is_public: -1 -> 1": "a domain has a dot: its last two parts are two",
    "personal data: _is_public: -1 -> 1 #2": "a domain has a dot: its last two parts are two",
    "held-out cut: _prepare: True -> False #2": _STRICT,
    "forecast: forecast: True -> False": _STRICT,
    "scoring: choose: True -> False": _STRICT,
    "scoring: module: TYPE_CHECKING -> not TYPE_CHECKING": "names of annotations are then imported in vain",
    "scoring: greedy: length + max_tokens -> length - max_tokens": "the size of a batch",
    "scoring: greedy: True -> False": _STRICT,
}
"""Mutant -> why no test can tell it from the original."""
PACKAGES = ("pytest", "hypothesis", "numpy", "scipy.stats", "torch", "pandas", "polars", "pyarrow.parquet", "pydantic",
            "transformers", "tokenizers", "networkx", "yaml")  # fmt: skip
LARGEST, MOST_TESTS, FAST = 40, 60, "not slow and not pipeline and not long"
LONGEST_S, MOST_BYTES = 900.0, 12 << 30
"""Tests that take longer hang; a change that allocates without end must not take the machine with it."""
SWAPPED: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A change: its name (function, old -> new), the module's text with it and its place."""

    name: str
    text: str
    lines: range
    """Numbers of the lines that change."""


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may be changed to."""
    match node:
        case ast.BinOp() if _of_texts(node):
            return
        case ast.Compare(ops=[one]) if type(one) in SWAPPED:
            yield _with(node, ops=[SWAPPED[type(one)]()])
        case ast.BinOp(op=one) | ast.BoolOp(op=one) | ast.AugAssign(op=one) if type(one) in SWAPPED:
            yield _with(node, op=SWAPPED[type(one)]())
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.If(test=test) | ast.IfExp(test=test):
            yield _with(node, test=ast.UnaryOp(ast.Not(), test))
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.Name(id="min" | "max" as name, ctx=ast.Load()):
            yield ast.Name({"min": "max", "max": "min"}[name])
        case ast.Expr(value=ast.Call(func=called)) if not (isinstance(called, ast.Name) and called.id == "print"):
            yield ast.Pass()


def _of_texts(node: ast.AST) -> bool:
    """Whether an operation is on texts or paths: any change of it is an error at once, which proves nothing."""
    return any(
        isinstance(part, ast.JoinedStr)
        or (isinstance(part, ast.Constant) and isinstance(part.value, str))
        or (isinstance(part, ast.Name) and part.id.lower() in ("path", "root", "folder"))
        or (isinstance(part, ast.Attribute) and part.attr.lower() in ("path", "root", "state"))
        for part in ast.walk(node)
    )


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def mutants(text: str) -> list[Mutant]:
    """All changes of a module's text, in order; annotations, texts and decorators stay."""
    lines = text.encode().splitlines(keepends=True)
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    found: dict[str, Mutant] = {}

    def visit(node: ast.AST, function: str) -> None:
        if isinstance(node, ast.JoinedStr):
            return
        for new in changes(node) if isinstance(node, ast.expr | ast.stmt) else ():
            place: Any = node  # parsed, so its place in the text is known
            if isinstance(node, ast.If) and isinstance(new, ast.If):
                place, new = node.test, new.test
            begin = starts[place.lineno - 1] + place.col_offset
            end = starts[place.end_lineno - 1] + place.end_col_offset
            shown, old = ast.unparse(ast.fix_missing_locations(new)), ast.unparse(place)
            put = shown if isinstance(place, ast.stmt) else f"({shown})"
            name, more = f"{function}: {old} -> {shown}", 1
            while name in found:
                name, more = f"{function}: {old} -> {shown} #{more + 1}", more + 1
            changed = (text.encode()[:begin] + put.encode() + text.encode()[end:]).decode()
            found[name] = Mutant(name, changed, range(place.lineno, place.end_lineno + 1))
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    visit(child, getattr(child, "name", function) if isinstance(child, ast.stmt) else function)

    visit(ast.parse(text), "module")
    return list(found.values())


class Failures:
    """A pytest plugin that writes the names of failed tests, without their parameters, into a file."""

    path = FOLDER / "failures.txt"

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Write down a test that failed, or whose fixtures did."""
        if report.failed:
            with self.path.open("a") as file:
                file.write(report.nodeid.partition("[")[0] + "\n")


def failures(tests: list[str]) -> list[str]:
    """Names of the tests that fail in the clone as it is now; all of them, where it cannot be imported."""
    Failures.path.write_text("")
    passed = passes(tests, "--timeout=100", "-m", FAST, plugins=[Failures()])
    return sorted(set(Failures.path.read_text().splitlines())) or ([] if passed else tests)


def passes(tests: Sequence[str], *options: str, plugins: Sequence[object] = ()) -> bool:
    """Whether the tests pass in the clone as it is now: in a forked process, which is killed if it hangs."""
    shutil.rmtree(TREE / ".hypothesis", ignore_errors=True)  # a case that killed one is no help against the next
    if not (pid := os.fork()):
        with suppress(BaseException):
            import pytest

            os.setsid()
            os.chdir(TREE)
            resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
            for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
                del sys.modules[name]
            sys.path[0] = str(TREE)
            os.environ["PYTHONPATH"] = f"{TREE}:{TREE / 'recorder'}"
            silent = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(silent, number)
            arguments = [*tests, "-q", "-n0", "-p", "no:cacheprovider", *(options or ["-x"])]
            os._exit(int(pytest.main(arguments, plugins=plugins)))
        os._exit(9)
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def tried(name: str, number: int, seed: int, before: dict[str, dict]) -> Iterator[dict]:
    """Try the sample of a module: what was killed before is not tried again, nor what survived at this commit.

    With a `number` of 0, only what survived before, of whatever sample.
    """
    path, tests = MODULES[name]
    text = (ROOT / path).read_text()
    sample = sorted(mutants(text), key=lambda one: one.name)
    random.Random(f"{seed} {name}").shuffle(sample)  # so that a smaller sample is the beginning of a larger one
    sample = [one for one in sample[:number] or sample if f"{name}: {one.name}" not in EQUIVALENT
              and (number or f"{name}: {one.name}" in before)]  # fmt: skip
    todo = [one for one in sample if (old := before.get(f"{name}: {one.name}", {})).get("killed") is not True
            and old.get("commit") != commit()]  # fmt: skip
    if todo and not passes(tests):
        print(f"{name}: its tests fail as they are", flush=True)
        return
    for one in todo:
        (TREE / path).write_text(one.text)
        try:
            killed = not passes(tests)
        finally:
            (TREE / path).write_text(text)
        print(f"{'killed' if killed else 'SURVIVED'}  {name}: {one.name}", flush=True)
        yield {"module": name, "mutant": one.name, "killed": killed, "commit": commit()}


def meeting(module: str) -> dict[int, list[str]]:
    """Line of a module -> the fast tests that run it, by one coverage run of this commit."""
    from coverage import CoverageData

    path = FOLDER / f"coverage-{commit()}"
    if not path.exists():
        measured = [f"--cov={folder}" for folder in ("components", "flows")]
        fast = ["-m", FAST, "-n2", "--cov-context=test", "--cov-report="]
        part = {"COVERAGE_FILE": str(path.with_suffix(".part"))}
        subprocess.run([sys.executable, "-m", "pytest", *fast, *measured], cwd=TREE, env=os.environ | part, check=False)
        path.with_suffix(".part").rename(path)
    data = CoverageData(str(path))
    data.read()
    file = next((one for one in data.measured_files() if one.endswith(f"/{module}")), "")
    return {
        line: sorted({name.rpartition("|")[0].partition("::" if name.endswith("|setup") else "[")[0] for name in names})
        for line, names in data.contexts_by_lineno(file).items()  # what one test sets up, others of its file may use
    }


def matrix(number: int, seed: int) -> None:
    """Try mutants of the largest modules on all tests that meet them, then print the tests that others stand for."""
    log = FOLDER / "matrix.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    before = {(one["module"], one["mutant"]) for one in rows}
    files = [path for folder in ("components", "flows") for path in (ROOT / folder).rglob("*.py")]
    for file in sorted(files, key=lambda path: -path.read_bytes().count(b"\n"))[:LARGEST]:
        module, text = str(file.relative_to(ROOT)), file.read_text()
        lines = meeting(module)
        met = [
            (one, sorted({test for line in one.lines for test in lines.get(line, [])} - {""})) for one in mutants(text)
        ]
        random.Random(f"{seed} {module}").shuffle(met)
        for one, tests in [(one, tests) for one, tests in met if 0 < len(tests) <= MOST_TESTS][:number]:
            if (module, one.name) in before:
                continue
            try:
                (TREE / module).write_text(one.text)
                failed = failures(tests)
            finally:
                (TREE / module).write_text(text)
            if failed:
                failed = sorted({*failed} - {*failures(failed)})  # what fails without the change proves nothing
            rows.append({"module": module, "mutant": one.name, "met": tests, "killed_by": failed, "commit": commit()})
            print(f"{len(failed):3d} of {len(tests):3d} tests  {module}: {one.name}", flush=True)
            with log.open("a") as written:
                written.write(json.dumps(rows[-1]) + "\n")
    for line in replaceable(rows):
        print(line)


def replaceable(rows: list[dict]) -> list[str]:
    """Lines on tests whose every kill two others make that stay, those with the fewest kills first."""
    killers = [{*row["killed_by"]} for row in rows]
    kills = Counter(test for row in killers for test in row)
    found = []
    for test, number in sorted(kills.items(), key=lambda item: (item[1], item[0])):
        if all(len(row) > 2 for row in killers if test in row):
            found.append(f"two others make each of its {number} kills: {test}")
            killers = [row - {test} for row in killers]
    return found


def report(results: dict[str, dict], first: dict[str, dict]) -> None:
    """Write the fractions into chaos.json: how many of a module the `first` try killed, which counts, and the last."""
    modules = {
        name: {
            "tried": len(of),
            "killed": sum(one["killed"] for one in of),
            "killed_at_first": sum(first[f"{name}: {one['mutant']}"]["killed"] for one in of),
        }
        for name in MODULES
        if (of := [one for one in results.values() if one["module"] == name])
    }
    tried_ones, killed = (sum(one[key] for one in modules.values()) for key in ("tried", "killed"))
    at_first = sum(one["killed_at_first"] for one in modules.values())
    says = (
        f"of {tried_ones} tried of {25 * len(MODULES)}, at first; {killed} are killed now that tests were added for "
        "the others"
    )
    survived = sorted(f"{one['module']}: {one['mutant']}" for one in results.values() if not one["killed"])
    if missing := [name for name in MODULES if modules.get(name, {"tried": 0})["tried"] < 2]:
        print(f"{killed} of {tried_ones} killed; not written, as {len(missing)} modules were not tried: {missing}")
        return
    write("chaos", {"mutants": {"modules": modules, "survived": survived, "equivalent": EQUIVALENT}}, [
        goal("mutants_killed_fraction", at_first / tried_ones, 0.85, "higher", says),
        goal("mutants_killed_worst_module", min(one["killed_at_first"] / one["tried"] for one in modules.values()), 0.7,
             "higher"),
    ])  # fmt: skip


def main() -> None:
    """Try what has not been tried, then report all."""
    parser = argparse.ArgumentParser("python -m benchmarks.mutants", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", default=",".join(MODULES), help="names of modules, separated by commas (default: all)"
    )
    parser.add_argument(
        "--number", type=int, default=25, help="mutants of each (default: %(default)s); 0: what survived, again"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="try nothing more: report what has been tried")
    parser.add_argument(
        "--matrix", action="store_true", help="the 40 largest modules, on every test that meets a change"
    )
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    log = FOLDER / "tried.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    results = {f"{one['module']}: {one['mutant']}": one for one in map(json.loads, lines)}
    first = {f"{one['module']}: {one['mutant']}": one for one in map(json.loads, reversed(lines))}
    if not arguments.report:
        shutil.rmtree(TREE, ignore_errors=True)
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(TREE)], check=True)
        for name in [name for name, value in os.environ.items() if str(STATE) in value]:
            del os.environ[name]  # the clone has a state folder of its own
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # a stale one would hide a change of the same size
        for package in PACKAGES:
            __import__(package)
        if arguments.matrix:
            return matrix(arguments.number, arguments.seed)
        for name in arguments.only.split(","):
            for result in tried(name, arguments.number, arguments.seed, results):
                results[f"{result['module']}: {result['mutant']}"] = result
                first.setdefault(f"{result['module']}: {result['mutant']}", result)
                with log.open("a") as file:
                    file.write(json.dumps(result) + "\n")
    there = {f"{name}: {one.name}" for name, (path, _) in MODULES.items() for one in mutants((ROOT / path).read_text())}
    report({key: one for key, one in results.items() if key in there and key not in EQUIVALENT}, first)


if __name__ == "__main__":
    main()
