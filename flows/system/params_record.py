"""What branches of fine-tuning were set to before a command pointed them at rows of one's own, to be put back.

A file of JSON: `branches` has the values of each branch, `before` and `after` params.yaml as it was and as the command
left it: byte for byte it comes back where nobody edited it since.
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.files import read_fields, write_json
from components.params import Params

WHERE = ("data", "base")
WRITTEN = (*WHERE, "max_pairs", "steps")
"""Keys of a branch that the command sets; those of `WHERE` say whether rows or a base are one's own."""


@dataclass(frozen=True)
class ParamsRecord:
    """The record in a file, which is there only while some branch has something to be put back."""

    path: Path

    def keep(self, branches: Iterable[str], params: Params, before: str, after: str) -> None:
        """Note what the branches have in `params`, but where rows replace rows: what was before the first counts.

        Args:
            before, after: the text of params.yaml.
        """
        fields, noted = self._fields(), self._noted(params)
        new = {name: value for name, value in _values(params).items() if name in branches and name not in noted}
        text = before if not fields["branches"] else fields["before"] if before == fields["after"] else ""
        write_json(self.path, {"branches": fields["branches"] | new, "before": text, "after": after})

    def restored(self, branches: Sequence[str], params: Params) -> dict[str, Any]:
        """Dotted keys and their values as they were; of a branch with own rows that are not on record, as they ship."""
        found, noted, ship, now = dict[str, Any](), self._noted(params), _values(Params()), _values(params)
        for name in branches:
            own = any(now[name][key] != ship[name][key] for key in WHERE)
            values = noted.get(name, {key: ship[name][key] for key in WRITTEN if own})
            found |= {f"finetune.{name}.{key}": value for key, value in values.items()}
        return found

    def text(self, branches: Set[str], now: str) -> str:
        """params.yaml as it was, if it is as the command left it and just what is on record is put back; else nothing.

        Args:
            branches: those that are put back.
            now: the text of params.yaml.
        """
        fields = self._fields()
        return fields["before"] if now == fields["after"] and fields["branches"].keys() == branches else ""

    def forget(self, branches: Sequence[str]) -> None:
        """Drop what was put back."""
        left = {name: value for name, value in self._fields()["branches"].items() if name not in branches}
        self.path.unlink(missing_ok=True)
        if left:
            write_json(self.path, {"branches": left, "before": "", "after": ""})

    def _fields(self) -> dict[str, Any]:
        if not self.path.exists():
            return {"branches": {}, "before": "", "after": ""}
        todo = "put the keys back with `python -m flows.configure --preset default`, and remove that file"
        return read_fields(self.path, todo, "branches", "before", "after")

    def _noted(self, params: Params) -> dict[str, dict[str, Any]]:
        """Branch -> the values to be put back, of those that do not have the pipeline's own data and base again."""
        now, ship = _values(params), _values(Params())
        return {
            name: value
            for name, value in self._fields()["branches"].items()
            if any(ship[name][key] != value[key] or ship[name][key] != now[name][key] for key in WHERE)
        }


def _values(params: Params) -> dict[str, dict[str, Any]]:
    tree: dict[str, dict[str, Any]] = params.finetune.model_dump(mode="json")
    return tree
