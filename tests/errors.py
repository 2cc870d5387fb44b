"""Codes of errors: `refuses` and `shows` for tests, and `errors.txt`, the snapshot of every sentence that refuses.

An error's code is the place that makes it: module (without `components`, `flows` or `recorder`), class and function,
with a number where a function makes several. A test names the end of a code, as long as one place alone ends so, and
the facts of its case. The wording stands in `errors.txt` and in no test; `python -m tests.errors --write` writes it.
"""

import ast
import re
import sys
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import ValidationError

ROOT = Path(__file__).resolve().parents[1]
SNAPSHOT = ROOT / "tests" / "errors.txt"
PRODUCT = ("components", "flows", "recorder")
KINDS = re.compile(r"\w*Error|UnusableRow|NotApplicable|NotText|NotEnoughText|Stopped|exit")
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
NAMED = FUNCTIONS | ast.ClassDef
Values = dict[str, list[ast.expr]]  # what names are set to


class Place(NamedTuple):
    """A statement that makes an error: its code, its lines, and its sentence, each value of it between zero bytes."""

    code: str
    lines: range
    sentence: str

    def pattern(self) -> str:
        return ".*".join(map(re.escape, self.sentence.split("\0")[::2]))


@contextmanager
def refused(code: str, *facts: object) -> Iterator[pytest.ExceptionInfo[BaseException]]:
    """What must end in an error of the place with this code, whose message holds these facts, each as whole words."""
    place = place_of(code)
    with pytest.raises((Exception, SystemExit)) as caught:
        yield caught
    found, message = code_of(caught.value), str(caught.value)
    made = not found and re.fullmatch(place.pattern(), message, re.DOTALL)  # and raised by its caller
    assert made or found == place.code, f"{found or 'no place'} instead of {place.code}: {message}"
    _hold(message, facts)


def refuses(call: Callable[[], object], code: str, *facts: object) -> None:
    """A call must end in an error of the place with this code, whose message holds these facts."""
    with refused(code, *facts):
        call()


def shows(text: str, code: str, *facts: object) -> None:
    """Output must have a line with the sentence of this code and these facts."""
    lines = [line for line in text.splitlines() if re.search(place_of(code).pattern(), line)]
    assert lines, f"no line of {code} in {text}"
    _hold("\n".join(lines), facts)


def _hold(message: str, facts: tuple[object, ...]) -> None:
    missing = [fact for fact in facts if not re.search(rf"(?<!\w){re.escape(str(fact))}(?!\w)", message)]
    assert not missing, f"{missing} not in: {message}"


def code_of(error: BaseException) -> str:
    """The code of an error, "" of one of others; where it explains what a validator of ours raised, the validator's."""
    for one in (error, error.__context__):
        inner = one.errors()[0].get("ctx", {}).get("error") if isinstance(one, ValidationError) else None
        if isinstance(inner, Exception) and (code := code_of(inner)):
            return code
    text = "".join(traceback.format_exception(error))  # of one from a worker process, with the worker's frames
    frames = re.findall(rf'File "({ROOT}/(?:{"|".join(PRODUCT)})/.+?)", line (\d+)', text)
    made = (one.code for file, line in reversed(frames) for one in places(Path(file)) if int(line) in one.lines)
    return next(made, "")


@cache
def place_of(code: str) -> Place:
    """The one place whose code ends so."""
    known = re.findall(r"^(\S+): ", SNAPSHOT.read_text("utf-8"), re.MULTILINE)
    ending = [one for one in known if f".{one}".endswith(f".{code}")]
    assert len(ending) == 1, f"{code}: {ending or 'no place'}; python -m tests.errors --write"
    parts = ending[0].split(".")
    files = [ROOT.joinpath(top, *parts[:end]).with_suffix(".py") for top in PRODUCT for end in range(len(parts))]
    return next(place for file in files if file.exists() for place in places(file) if place.code == ending[0])


tree_of = cache(lambda path: ast.parse(path.read_text("utf-8")))


@cache
def places(path: Path) -> list[Place]:
    """Those of a file, in its order."""
    found: list[Place] = []

    def walk(node: ast.AST, name: str, values: Values, lines: range) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, NAMED):
                walk(child, f"{name}.{child.name}", values | values_in(child), lines)
                continue
            if isinstance(child, ast.stmt):
                lines = range(child.lineno, (child.end_lineno or 0) + 1)
            kind = ast.unparse(child.func).rpartition(".")[2] if isinstance(child, ast.Call) and child.args else ""
            if KINDS.fullmatch(kind) and (kind != "exit" or isinstance(child.args[0], ast.JoinedStr)):
                texts = child.args[kind == "Stopped" :]  # its first argument is the name of a state
                found.append(Place(name, lines, ": ".join(sentence(one, values) for one in texts)))
            walk(child, name, values, lines)

    walk(tree_of(path), ".".join(path.relative_to(ROOT).with_suffix("").parts[1:]), constants(path), range(0))
    total, number = Counter(one.code for one in found), defaultdict[str, Iterator[int]](count)
    numbered = [f"{one.code}.{next(number[one.code]) + 1}" if total[one.code] > 1 else one.code for one in found]
    return [one._replace(code=code) for one, code in zip(found, numbered, strict=True)]


def sentence(node: ast.expr, values: Values) -> str:
    """What an expression says; what is one of several texts is one value, with all of them."""
    match node:
        case ast.Constant(value=value):
            return str(value)
        case ast.JoinedStr(values=parts):
            return "".join(sentence(part, values) for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right) if "'" in ast.unparse(node):
            return sentence(left, values) + sentence(right, values)
        case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
            return sentence(value, values)
        case ast.FormattedValue():
            return f"\0{ast.unparse(ast.JoinedStr([node]))[3:-2]}\0"
        case ast.IfExp(body=one, orelse=other):
            return f"\0{plain(sentence(one, values))} | {plain(sentence(other, values))}\0"
        case ast.Name() | ast.Call(func=ast.Name() | ast.Attribute()):
            name = ast.unparse(node).partition("(")[0].rpartition(".")[2] + "()" * isinstance(node, ast.Call)
            texts = [sentence(value, values | {name: []}) for value in values.get(name, [])]
            words = [text for text in texts if re.search("[a-z] [a-z]", re.sub("\0[^|]*?\0", "", text))]
            if len(texts) == 1 and (words or "\0" not in texts[0]):
                return texts[0]
            if words:
                return f"\0{name}: {' | '.join(map(plain, texts))}\0"
    return f"\0{ast.unparse(node)}\0"


def plain(text: str) -> str:
    """A sentence with its values in braces, as an f-string has them."""
    return re.sub("\0(.*?)\0", r"{\1}", text).replace("\n", r"\n")


def values_in(scope: ast.Module | NAMED) -> Values:
    """Of a function all its names, of a class or module those of its own statements, with what its functions return."""
    found: Values = {}
    for node in ast.walk(scope) if isinstance(scope, FUNCTIONS) else scope.body:
        if isinstance(node, FUNCTIONS):
            found |= {arg.arg: [] for arg in ast.walk(node.args) if isinstance(arg, ast.arg) and node is scope}
            found[f"{node.name}()"] = [one.value for one in ast.walk(node) if isinstance(one, ast.Return) and one.value]
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value:
            name, value = node.targets[0] if isinstance(node, ast.Assign) else node.target, node.value
            several = isinstance(name, ast.Tuple) and isinstance(value, ast.Tuple)
            for one, its in zip(name.elts, value.elts, strict=False) if several else [(name, value)]:
                found.setdefault(ast.unparse(one), []).append(its)
    return found


@cache
def constants(path: Path) -> Values:
    """Those of a module, also what it has from others of ours."""
    found = values_in(tree_of(path))
    for one in tree_of(path).body:
        if isinstance(one, ast.ImportFrom) and (file := ROOT / f"{(one.module or '').replace('.', '/')}.py").exists():
            names = {key for name in one.names for key in (name.name, f"{name.name}()")}
            found |= {name: value for name, value in constants(file).items() if name in names}
    return found


def snapshot() -> str:
    files = [path for top in PRODUCT for path in sorted((ROOT / top).rglob("*.py"))]
    return "".join(f"{place.code}: {plain(place.sentence)}\n" for path in files for place in places(path))


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    SNAPSHOT.write_text(snapshot(), "utf-8")
