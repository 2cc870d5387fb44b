"""The typed schema of params.yaml: the YAML, the Prefect form and the MLflow params are all this.

One section per stage, in the order of dvc.yaml, then `numerics` and `runtime`: small ones in `root`, which joins all,
the others in the module of their name, those of studies (in no file) in `studies`. `layout` says which keys params.yaml
shows and which ones branches share, `files` reads it, `document` writes it and defaults.yaml. Everything but `runtime`
is identity: it changes the bytes of an artifact, and dvc.yaml lists it. `runtime` holds only what tests prove neutral.
The text under each field is its description in files and forms.
"""

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
from components.params.mix import Canaries, Curriculum, Mix
from components.params.numerics import Numerics
from components.params.pretrain import ModelShape, Optimizer, Pretrain, PretrainBranches
from components.params.promote import DataChoices, GateRule, Promote, Promotion, Seeds
from components.params.root import Account, Bias, Dedup, Evaluate, Params, Tokenize, explain, parse
from components.params.runtime import Budget, Grid, ProjectBudget, Runtime
from components.params.section import Fraction, Section
from components.params.studies import Scaling
