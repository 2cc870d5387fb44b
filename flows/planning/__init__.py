"""Layer 3: forecasts, budgets, cleaner hours."""
