"""`bias` in params.yaml: what is measured per group, and what is dropped as toxic."""

from pydantic import Field

from components.params.section import Fraction, Section


class Bias(Section):
    """Measure mentions and toxicity per group and source; filter on identity-masked scores; audit the filter."""

    scorer: str = "profanity-check"
    """`profanity-check` (offline default) or `transformers:<folder or hub id>@<revision>`."""
    sentence_threshold: Fraction = 0.7
    """Probability of toxicity above which a sentence counts as toxic."""
    max_toxic_share: Fraction = 0.3
    """Documents with a larger share of toxic sentences are dropped (rule `toxic`); 1 drops none."""
    min_toxic_sentences: int = Field(default=5, ge=1)
    """Documents with fewer toxic sentences are kept whatever their share: a few in a medical text are its words."""
    mask_identity: bool = True
    """Hide words for identity groups from the scorer, so that mention alone is no reason to drop."""
    min_mentions: int = Field(default=50, ge=1)
    """Groups with fewer mentions (documents or sentences) are listed without a rate."""
    max_probe_gap: Fraction = 0.05
    """Largest gap of false-positive rates between groups on the template probe; above it the flow stops."""
    max_removal_ratio: float = Field(default=2.0, ge=1.0)
    """Largest ratio of removal rates, group against rest, stratified by source and length; surely above it (95%
    interval) the flow stops. A large number, such as 1000, never stops."""
