"""The typed schema of params.yaml: the YAML, the Prefect form and the MLflow params are all this.

One section per stage, in the order of dvc.yaml, then `numerics` and `runtime`; each is in the module of its name, and
`root` joins them. `layout` says which keys params.yaml shows and which ones branches share, `files` reads it,
`document` writes it and defaults.yaml. Sections of studies are their settings, and in no file. Everything but `runtime`
is identity: it changes the bytes of an artifact, and dvc.yaml lists it. `runtime` holds only what tests prove neutral.
The text under each field is its description in files and forms.
"""

from components.params.account import Account
from components.params.bias import Bias
from components.params.dedup import Dedup
from components.params.evaluate import Evaluate
from components.params.files import DEFAULTS, ParamFiles, load, read, read_tree
from components.params.filter import Decontaminate, Filter, FilterRules, Kind
from components.params.finetune import (
    FURTHER,
    Branch,
    Classify,
    Finetune,
    FinetuneBranches,
    Instruct,
    Prefer,
)
from components.params.ingest import Files, Hub, Ingest, LicencePolicy, Packages, PackageTexts, Source
from components.params.label_efficiency import LabelEfficiency
from components.params.mitigate import Mitigate
from components.params.mix import Canaries, Curriculum, Mix
from components.params.numerics import Numerics
from components.params.pretrain import ModelShape, Optimizer, Pretrain, PretrainBranches
from components.params.promote import DataChoices, GateRule, Promote, Promotion, Seeds
from components.params.root import Params, explain, parse
from components.params.runtime import Budget, Grid, ProjectBudget, Runtime
from components.params.scaling import Scaling
from components.params.section import Fraction, Section
from components.params.tokenize import Tokenize

__all__ = [
    "DEFAULTS",
    "FURTHER",
    "Account",
    "Bias",
    "Branch",
    "Budget",
    "Canaries",
    "Classify",
    "Curriculum",
    "DataChoices",
    "Decontaminate",
    "Dedup",
    "Evaluate",
    "Files",
    "Filter",
    "FilterRules",
    "Finetune",
    "FinetuneBranches",
    "Fraction",
    "GateRule",
    "Grid",
    "Hub",
    "Ingest",
    "Instruct",
    "Kind",
    "LabelEfficiency",
    "LicencePolicy",
    "Mitigate",
    "Mix",
    "ModelShape",
    "Numerics",
    "Optimizer",
    "PackageTexts",
    "Packages",
    "ParamFiles",
    "Params",
    "Prefer",
    "Pretrain",
    "PretrainBranches",
    "ProjectBudget",
    "Promote",
    "Promotion",
    "Runtime",
    "Scaling",
    "Section",
    "Seeds",
    "Source",
    "Tokenize",
    "explain",
    "load",
    "parse",
    "read",
    "read_tree",
]
