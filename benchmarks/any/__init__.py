"""Other trainers under the recorder: each is recorded, killed once and resumed; then edits are looked for.

trainers.py    TRL's SFTTrainer, LitGPT's pretrain, nanochat's base_train, a plain loop: folders, commands
runs.py        a trainer under greenhouse-record, killed at its first checkpoint, resumed; its cgroup's CPU seconds
edits.py       20 edits of each, made after recording
costs.py       what the recorder itself costs: overhead, imports, wheel, a look-up in the order of data
scripts/       the trainings
"""
