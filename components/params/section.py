"""Section: the base class of every section of params.yaml, and the types its fields share."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of params.yaml: unknown keys and values out of range are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
"""A share of a whole, from 0 to 1."""


def matching(pattern: str, message: str) -> tuple[Any, ...]:
    """What `Annotated[str, *matching(...)]` adds: a text that does not match is refused with a sentence."""

    def checked(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(message)
        return text

    return AfterValidator(checked), Field(json_schema_extra={"pattern": f"^({pattern})$"})
