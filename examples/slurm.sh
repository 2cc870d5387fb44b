#!/bin/bash
#SBATCH --job-name=greenhouse --nodes=2 --ntasks-per-node=1 --gpus-per-node=8 --cpus-per-task=64
# Pretraining on several machines that see this folder: `sbatch examples/slurm.sh causal`, from the project's root.
# params.yaml: numerics.device cuda, numerics.processes 16 (all GPUs together).
set -euo pipefail
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun --kill-on-bad-exit=1 .venv/bin/torchrun \
  --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node 8 \
  --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$head:29500" \
  -m flows.stage pretrain "${1:-causal}"
