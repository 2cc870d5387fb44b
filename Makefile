# Each target sets itself up: the first call makes .venv and installs the pinned set, later calls go straight to work.
# The verbs live in flows/*.py; this file finds a Python, sees that things are installed, and calls them.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
RUN := .venv/bin/python -m
# Processes of the test suite.
JOBS ?= 2

# A .venv whose Python is gone (moved, upgraded) is made again.
ifeq ($(shell test -x .venv/bin/python && echo yes),)
$(shell rm -f .venv/installed .venv/installed-dev)
endif

# The first Python from 3.11 to 3.13; PYTHON=path chooses one. A candidate must run, not just exist.
define FIND_PYTHON
set -e; found=; chosen=; \
for candidate in $${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do \
  version=$$("$$candidate" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue; \
  case $$version in 3.11.*|3.12.*|3.13.*) chosen=$$candidate; break;; esac; \
  found="$$found $$candidate is $$version,"; \
done; \
if [ -z "$$chosen" ]; then \
  echo "Greenhouse needs Python 3.11, 3.12 or 3.13;$${found:- no python3 found,} install one, or name it: PYTHON=/path/to/python3.12 make $(firstword $(MAKECMDGOALS))" >&2; \
  exit 1; \
fi
endef

.venv/installed: pyproject.toml constraints.txt flows/install.py
	@$(FIND_PYTHON); "$$chosen" flows/install.py

.venv/installed-dev: pyproject.toml constraints.txt flows/install.py
	@$(FIND_PYTHON); "$$chosen" flows/install.py dev

.PHONY: help demo why plan accept up chat verify trace mitigate compare test test-fast lint clean gc purge bench-overhead bench-data bench-carbon bench-train bench-train-tune bench-train-transfer bench-scaling scaling setup

help:  ## Show this.
	@echo "make ..."
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

setup: .venv/installed  ## Only install.

demo: .venv/installed  ## The whole pipeline, then a table. DATA=path for your own text, DATA=default to go back.
	@if [ -n "$$DATA" ]; then $(RUN) flows.configure "$$DATA"; fi
	@$(RUN) flows.pipeline --demo

why: .venv/installed  ## What would run, and which key or file made it so.
	@$(RUN) flows.why

plan: .venv/installed  ## What the next run will take: time, energy, gCO2e. ARGS="--best --served 1e9" asks the scaling law.
	@$(RUN) flows.plan $(ARGS)

accept: .venv/installed  ## Keep a stage's output after a neutral change: STAGE=name REASON="why it is neutral".
	@$(RUN) flows.why --accept "$$STAGE" --reason "$$REASON"

up: .venv/installed  ## Prefect, MLflow and the deployments on 127.0.0.1 (PREFECT_PORT, MLFLOW_PORT); Ctrl-C stops them.
	@exec $(RUN) flows.up

chat: .venv/installed  ## Prompt the model just made; PROMPT="..." for one answer.
	@if [ -n "$$PROMPT" ]; then exec $(RUN) flows.chat --prompt "$$PROMPT"; else exec $(RUN) flows.chat; fi

scaling: .venv/installed  ## A sweep of small models, a scaling law, and larger runs that check it (after `make demo`).
	@exec $(RUN) flows.scaling

mitigate: .venv/installed  ## Models with counterfactual augmentation, without, and with repeats: gap and price.
	@exec $(RUN) flows.mitigate

verify: .venv/installed  ## Rebuild a model from the commit and compare hashes: MODEL=causal.
	@$(RUN) flows.verify "$${MODEL:-causal}"

trace: .venv/installed  ## Which documents hold a text, and which models saw it how often: Q="passage, id or location".
	@$(RUN) flows.trace "$$Q"

compare: .venv/installed  ## What differs between two runs, with intervals: A=name B=name.
	@$(RUN) flows.compare "$$A" "$$B"

test: .venv/installed-dev  ## The whole test suite.
	@$(RUN) pytest -n $(JOBS)

test-fast: .venv/installed-dev  ## The inner loop, under two minutes: no pipeline runs.
	@$(RUN) pytest -n $(JOBS) -m "not slow and not pipeline and not long"

lint: .venv/installed-dev  ## Ruff and mypy.
	@$(RUN) ruff check components flows tests benchmarks
	@$(RUN) ruff format --check components flows tests benchmarks
	@$(RUN) mypy

clean: .venv/installed  ## Remove build leftovers and work folders; says how much first (YES=1 does not ask).
	@$(RUN) flows.clean clean

gc: .venv/installed  ## Free DVC's cache and MLflow's models of what nothing names any more; says how much first.
	@$(RUN) flows.clean gc

purge: .venv/installed  ## Remove everything Greenhouse made; LEDGER=1 the energy ledger too.
	@$(RUN) flows.clean purge

bench-data: .venv/installed-dev  ## The data stages beside datatrove, rensa, datasketch, tokenizers: 20 minutes; PART=name for one part.
	@$(RUN) pip install -q -c constraints.txt -e ".[bench]"
	@$(RUN) benchmarks.data --only "$$PART"

bench-overhead: .venv/installed-dev  ## What Prefect, DVC, MLflow and the meter add.
	@$(RUN) benchmarks.overhead

bench-carbon: .venv/installed-dev  ## The ledger beside codecarbon and carbontracker: 15 minutes; PART=forecast: 23 more.
	@$(RUN) pip install -q -c constraints.txt -e ".[bench]"
	@$(RUN) benchmarks.carbon --only $${PART:-meter}

bench-train: .venv/installed-dev  ## Training beside transformers' Trainer, LitGPT and the classic recipe: 45 minutes.
	@$(RUN) benchmarks.train

bench-train-tune: .venv/installed-dev  ## The learning rates bench-train uses, three tries each: 35 minutes.
	@$(RUN) benchmarks.train_tune

bench-scaling: .venv/installed-dev  ## The hour's sweep behind the scaling errors in train.json (after `make demo`).
	@$(RUN) flows.scaling --sweep benchmarks/scaling.yaml
	@$(RUN) benchmarks.train --scaling

bench-train-transfer: .venv/installed-dev  ## Loss against learning rate at three widths: 3 minutes.
	@$(RUN) benchmarks.train_transfer
