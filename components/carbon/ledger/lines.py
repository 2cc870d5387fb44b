"""Lines of a ledger file, one class per kind, as the meter writes them; a line that is none of them is not counted.

A disk that flips a bit, or a power cut, then costs a line, not the ledger.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict


def _with_zone(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time without a zone")
    return text


Time = Annotated[str, AfterValidator(_with_zone)]
Microjoules = tuple[int, int, int]
"""Low, mid, high."""


@with_config(ConfigDict(extra="allow"))
class HostLine(TypedDict):
    """A machine: what its counters are computed from."""

    kind: Literal["host"]
    t: Time
    host: str


@with_config(ConfigDict(extra="allow"))
class StartLine(TypedDict):
    """A span begins."""

    kind: Literal["start"]
    t: Time
    span: str
    parent: str
    name: str
    labels: dict[str, Any]


@with_config(ConfigDict(extra="allow"))
class EndLine(TypedDict):
    """A span ends; `uj` is its whole tree's."""

    kind: Literal["end"]
    t: Time
    span: str
    outcome: str
    uj: NotRequired[Microjoules]
    labels: NotRequired[dict[str, Any]]


@with_config(ConfigDict(extra="allow"))
class ForecastLine(TypedDict):
    """What a stage was expected to take, before it began."""

    kind: Literal["forecast"]
    t: Time
    span: str
    stage: str
    seconds: tuple[float, float, float]
    kwh: tuple[float, float, float]
    basis: str
    raw: NotRequired[tuple[float, float]]


class Use(TypedDict):
    """Part of a reading that a span has used."""

    cpu_us: int
    wall_us: NotRequired[int]
    uj: dict[str, Microjoules]


@with_config(ConfigDict(extra="allow"))
class ReadingLine(TypedDict):
    """What the host used in `dt_us` microseconds, by component, and which span used how much of it."""

    kind: Literal["reading"]
    t: Time
    host: str
    book: NotRequired[str]
    seq: NotRequired[int]
    dt_us: int
    counter: str
    busy_us: int
    host_uj: dict[str, Microjoules]
    source: dict[str, str]
    spans: dict[str, Use]


def _components_agree(line: Any) -> Any:
    if line["kind"] == "reading":
        known = line["host_uj"].keys() & line["source"].keys()
        if not all(use["uj"].keys() <= known for use in line["spans"].values()):
            raise ValueError("a component that the host has not")
    return line


LINE: TypeAdapter[Any] = TypeAdapter(
    Annotated[
        Annotated[HostLine | StartLine | EndLine | ForecastLine | ReadingLine, Field(discriminator="kind")],
        AfterValidator(_components_agree),
    ]
)
"""Parser of a line. Raises `ValueError`: it is none."""
