"""Prefect flows: thin. One module per stage and per verb; layers below: system, tracking, planning, execution, serving.

Importing this package sets the environment, so that Prefect, MLflow and DVC, imported after it, read our settings.
"""

from flows.system.environment import apply_environment

apply_environment()
