"""The small world of the evaluate stage: models, and the text they were trained on."""

from tests.components.stages.evaluate.conftest import world

__all__ = ["world"]
