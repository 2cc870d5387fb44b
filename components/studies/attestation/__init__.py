"""Documents that prove what a model is made of, each a pure function of what was recorded (`Claims`)."""
