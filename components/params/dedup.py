"""`dedup` in params.yaml: what counts as a duplicate."""

from pydantic import Field

from components.params.section import Section


class Dedup(Section):
    """Remove exact and near duplicates: MinHash proposes, exact Jaccard similarity decides."""

    near: bool = True
    """Look for near-duplicates too (exact duplicates always go)."""
    threshold: float = Field(default=0.7, gt=0.0, le=1.0)
    """Jaccard similarity of word n-grams from which a document is a near-duplicate."""
    ngram: int = Field(default=5, ge=1, le=20)
    """Words per shingle."""
    bands: int = Field(default=32, ge=1, le=256)
    """MinHash bands; more of them propose more pairs (recall)."""
    rows: int = Field(default=4, ge=1, le=32)
    """Hashes per band; fewer propose more pairs (recall)."""
