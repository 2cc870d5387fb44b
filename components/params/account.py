"""`account` in params.yaml: how the models are named and described."""

from typing import Annotated

from components.params.section import Section, matching


class Account(Section):
    """The summary, the report, and the model card."""

    model_name: str = "greenhouse"
    """Registered models are named `<model_name>-<objective>-<size>`."""
    description: str = "A small language model grown with Greenhouse."
    """First sentence of the model card."""
    licence: Annotated[
        str, *matching(r"[A-Za-z0-9.+-]*", "an SPDX id has no spaces or brackets, such as Apache-2.0 or CC-BY-4.0")
    ] = ""
    """SPDX id under which you publish the models, such as Apache-2.0; empty: cards say that none is stated."""
