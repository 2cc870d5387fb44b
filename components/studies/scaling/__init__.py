"""Scaling laws: a sweep of small models, the law fitted to it, its report."""
