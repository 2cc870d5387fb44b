"""Label efficiency: what pretraining is worth, counted in labels."""
