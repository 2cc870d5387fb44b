"""`account` in params.yaml: how the models are named and described."""

from pydantic import Field

from components.params.section import Section


class Account(Section):
    """The summary, the report, and the model card."""

    model_name: str = "greenhouse"
    """Registered models are named `<model_name>-<objective>-<size>`."""
    description: str = "A small language model grown with Greenhouse."
    """First sentence of the model card."""
    licence: str = Field(default="", pattern=r"^[A-Za-z0-9.+-]*$")
    """SPDX id under which you publish the models, such as Apache-2.0; empty: cards say that none is stated."""
