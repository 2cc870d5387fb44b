"""A stage's forecast, made right before its function begins, and how far off it was: for ledger, MLflow, and a total.

What is not said beforehand cannot be checked afterwards, so every run is forecast, also those
nobody planned. A stage that never completed here has no forecast; one that resumes is not compared
with a whole run.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from components.carbon.ledger import reader
from components.carbon.planning.forecast import (
    StageForecast,
    calibrated,
    completed,
    error_pct,
    forecast,
    interrupted,
    same_inputs,
)
from components.core.files import fingerprint as fingerprint_of
from components.params import Params
from flows.planning import step_cost
from flows.system import paths


@dataclass
class Spent:
    """A stage's seconds and kWh: what was expected (0 for nothing), and what it took."""

    forecast_s: float = 0.0
    forecast_kwh: float = 0.0
    seconds: float = 0.0
    kwh: float = 0.0


def expected(
    books: reader.Ledger, stage: str, fingerprint: str, params: Params, rates: dict[str, step_cost.Rates]
) -> StageForecast | None:
    """Forecast of a stage; None if neither a completed run nor a calibration tells."""
    branch = stage.removeprefix("pretrain@")
    if branch not in rates or len(same_inputs(completed(books, stage), fingerprint)) >= 2:
        training = tokens_of(stage, params), trained_on(stage, params)
        return forecast(books, stage, fingerprint, settings_of(stage, params), *training)
    measured, section = rates[branch], getattr(params.pretrain, branch)
    basis = f"calibration: {section.steps} steps of {measured.step_s:.3g} s"
    if section.length_warmup:  # as many tokens in shorter windows cost less attention, which nobody has measured
        basis += f" at full context, a little high for the {section.length_warmup:.0%} with shorter windows"
    return calibrated(books, stage, measured.seconds(section), measured.kwh(section), basis)


def settings_of(stage: str, params: Params) -> str:
    """Fingerprint of what a stage's time rests on: its section of the parameters, and how much it is given.

    That is the sources of a data stage's text, and the shapes of the models that are evaluated.
    Empty for a stage of the user's own.
    """
    name, _, branch = stage.partition("@")
    section = getattr(params, name, None)
    section = getattr(section, branch, None) if branch else section
    if not isinstance(section, BaseModel):
        return ""
    given: list[Any] = []
    if name == "evaluate":
        given = shapes(params)
    elif not branch and name != "account":
        given = [params.ingest.model_dump(mode="json")]
    return fingerprint_of([section.model_dump(mode="json"), given])


def shapes(params: Params) -> list[Any]:
    """Shapes of the networks that are pretrained."""
    return [section.model.model_dump(mode="json") for section in (params.pretrain.causal, params.pretrain.masked)]


def tokens_of(stage: str, params: Params) -> int:
    """Tokens that a training reads at most; 0 of a stage that trains nothing."""
    name, _, branch = stage.partition("@")
    if name not in ("pretrain", "finetune"):
        return 0
    section = getattr(getattr(params, name), branch)
    return int(section.steps * section.batch * section.context)


def trained_on(stage: str, params: Params) -> str:
    """Settings that the time of a training's tokens rests on: shape, and of a fine-tuning base and data; else empty."""
    name, _, branch = stage.partition("@")
    if name not in ("pretrain", "finetune"):
        return ""
    parts = [fingerprint_of(shapes(params))]
    if name == "finetune":
        section = getattr(params.finetune, branch)
        parts += [section.base, section.data]
    return " ".join(parts)


def record_forecast(meter: Any, stage: str, fingerprint: str, params: Params) -> StageForecast | None:
    """Forecast the run that will begin, and put it into the ledger. None if nothing is known."""
    books = reader.history(paths.LEDGER)
    if interrupted(books, stage, fingerprint):
        return None
    rates = step_cost.known(params) if stage.startswith("pretrain@") else {}
    prediction = expected(books, stage, fingerprint, params, rates)
    if prediction:
        meter.record("forecast", **prediction.line())
    return prediction


def spent(prediction: StageForecast | None, seconds: float, kwh: float) -> Spent:
    """For the total of the run."""
    return Spent(prediction.seconds.mid if prediction else 0.0, prediction.kwh.mid if prediction else 0.0, seconds, kwh)


def errors(parts: list[Spent], of: str = "") -> dict[str, float]:
    """Metrics `forecast_error_pct/...` of those parts together that were forecast; positive: forecast too high."""
    known = [part for part in parts if part.forecast_s]
    if not known:
        return {}
    seconds = error_pct(sum(part.forecast_s for part in known), sum(part.seconds for part in known))
    kwh = error_pct(sum(part.forecast_kwh for part in known), sum(part.kwh for part in known))
    return {f"forecast_error_pct/{of}seconds": seconds, f"forecast_error_pct/{of}kwh": kwh}
