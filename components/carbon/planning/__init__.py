"""Forecasts, budgets and cleaner hours."""
