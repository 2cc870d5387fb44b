"""Energy and carbon: meter, ledger, intensity, forecast, budget."""
