"""Stage `dedup`: remove exact and near duplicates."""
