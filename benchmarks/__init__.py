"""Side by side with peers, or against our own goals: one command each, a table in benchmarks/results/."""
