"""Params: all sections of params.yaml, what must hold between them, and the sentence for what does not."""

import os
from pathlib import Path

from pydantic import ValidationError, model_validator
from pydantic_core import ErrorDetails

from components.core.errors import UserError
from components.params.account import Account
from components.params.bias import Bias
from components.params.dedup import Dedup
from components.params.evaluate import Evaluate
from components.params.filter import Filter
from components.params.finetune import FinetuneBranches
from components.params.ingest import Ingest
from components.params.mix import Mix
from components.params.numerics import Numerics
from components.params.pretrain import PretrainBranches
from components.params.promote import Promote
from components.params.runtime import Runtime
from components.params.section import Section
from components.params.tokenize import Tokenize


class Params(Section):
    """The whole of params.yaml."""

    ingest: Ingest = Ingest()
    """Read the sources."""
    dedup: Dedup = Dedup()
    """Remove duplicates."""
    filter: Filter = Filter()
    """Remove poor text, redact personal data."""
    bias: Bias = Bias()
    """Measure and filter for bias."""
    mix: Mix = Mix()
    """Weigh sources, add curriculum."""
    tokenize: Tokenize = Tokenize()
    """Train the tokenizer, encode."""
    pretrain: PretrainBranches = PretrainBranches()
    """Pretrain both models."""
    finetune: FinetuneBranches = FinetuneBranches()
    """Fine-tune both models."""
    evaluate: Evaluate = Evaluate()
    """Examine the models."""
    account: Account = Account()
    """Summarise and account."""
    promote: Promote = Promote()
    """Ask the gate."""
    numerics: Numerics = Numerics()
    """How floats are computed."""
    runtime: Runtime = Runtime()
    """Neutral settings."""

    @model_validator(mode="after")
    def _evaluation_sets_are_looked_for(self) -> "Params":
        items = self.filter.decontaminate.items
        for path in [entry for entry in self.evaluate.tasks if "@" not in entry]:
            if not Path(os.path.normpath(path)).is_relative_to(items):
                raise ValueError(
                    f"evaluate.tasks = {path} lies outside filter.decontaminate.items = {items}, so training text "
                    "would not be cleared of it; move it there"
                )
        return self

    @model_validator(mode="after")
    def _settings_per_source_name_sources(self) -> "Params":
        """A setting for a source that is not there would silently do nothing."""
        known = [source.name for source in self.ingest.sources]
        for key, named in (("filter.per_source", self.filter.per_source), ("mix.weights", self.mix.weights)):
            for name in named:
                if name not in known:
                    raise ValueError(
                        f"{key}.{name}: ingest.sources has no source of that name (there is: {', '.join(known)}); "
                        "correct the name or remove the entry"
                    )
        return self

    def identity(self) -> dict:
        """All that may change bytes: everything but `runtime`."""
        return self.model_dump(mode="json", exclude={"runtime"})


def explain(error: ValidationError, where: str) -> str:
    """One sentence for the first fault of a validation: key, value, limit, what to do."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    return fault(first, key, where, error.error_count() - 1)


def fault(first: ErrorDetails, key: str, where: str, others: int) -> str:
    """One sentence for a fault at a key, with the number of other faults; of the whole, it names the key by itself."""
    value = first.get("input")
    shown = "" if isinstance(value, dict | list) else f" = {value!r}"
    more = f" (and {others} more)" if others else ""
    rule = "unknown key; remove it or correct its spelling" if first["type"] == "extra_forbidden" else first["msg"]
    rule = rule.removeprefix("Value error, ")  # of pydantic, before the sentence of a validator of ours
    return ": ".join(part for part in (where, f"{key}{shown}" if key else "", f"{rule}{more}") if part)


def parse(raw: object, where: str = "params") -> Params:
    """Validate a tree of the schema; keys it lacks get the schema's defaults (a file is read by `load`).

    Raises:
        UserError: naming key, value and limit.
    """
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise UserError(explain(error, where)) from None
