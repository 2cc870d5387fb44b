"""Generated text: curriculum, canaries, counterfactual copies."""
