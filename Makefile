# Each target sets itself up: the first call makes .venv and installs the pinned set, later calls go straight to work.
# The commands are modules of flows/; this file finds a Python, sees that things are installed, and calls them.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
RUN := .venv/bin/python -m
# Processes of the test suite.
JOBS ?= 2

# A .venv whose Python is gone (moved, upgraded) is made again.
ifeq ($(shell test -x .venv/bin/python -o -L .venv && echo yes),)
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
	@$(FIND_PYTHON); "$$chosen" -P flows/install.py

.venv/installed-dev: pyproject.toml constraints.txt flows/install.py
	@$(FIND_PYTHON); "$$chosen" -P flows/install.py dev

.PHONY: help setup demo run up chat why plan compare trace verify scaling clean gc purge test test-fast lint bench

#: Start here

demo: run  ## The whole pipeline, then a table; nothing to do the second time.

run: .venv/installed  ## The pipeline on your own text, DATA=path, which it keeps.
	@if [ -n "$$DATA" ]; then $(RUN) flows.configure "$$DATA"; fi
	@$(RUN) flows.pipeline --demo

up: .venv/installed  ## Prefect, MLflow and the forms on 127.0.0.1 (PREFECT_PORT, MLFLOW_PORT); Ctrl-C stops them.
	@exec $(RUN) flows.up

chat: .venv/installed  ## Prompt the model just made; PROMPT="..." for one answer.
	@if [ -n "$$PROMPT" ]; then exec $(RUN) flows.chat --prompt "$$PROMPT"; else exec $(RUN) flows.chat; fi

#: Before a run

why: .venv/installed  ## Which stages would run, and which key or file made each stale.
	@$(RUN) flows.why

plan: .venv/installed  ## Time, energy and gCO2e of the next run. ARGS="--best --served 1e9" asks the scaling law.
	@$(RUN) flows.plan $(ARGS)

#: After a run

compare: .venv/installed  ## What differs between two runs, with intervals: A=name B=name.
	@$(RUN) flows.compare "$$A" "$$B"

trace: .venv/installed  ## Which documents hold a text, and which models saw it how often: Q="passage, id or location".
	@$(RUN) flows.trace "$$Q"

verify: .venv/installed  ## Rebuild a model from the commit and compare hashes: MODEL=causal.
	@$(RUN) flows.verify "$${MODEL:-causal}"

scaling: .venv/installed  ## A sweep of small models, a scaling law, and larger runs that check it.
	@exec $(RUN) flows.scaling

#: Disk space; each says how much first

clean: .venv/installed  ## Remove build leftovers and work folders (YES=1 does not ask).
	@$(RUN) flows.clean clean

gc: .venv/installed  ## Free DVC's cache and MLflow's models of what nothing names any more.
	@$(RUN) flows.clean gc

purge: .venv/installed  ## Remove everything Greenhouse made; LEDGER=1 the energy ledger too.
	@$(RUN) flows.clean purge

#: Development

setup: .venv/installed  ## Only install.

test: .venv/installed-dev  ## The tests, without the cases that `make bench NAME=long` runs; JOBS=4 processes instead of 2.
	@$(RUN) pytest -n $(JOBS) --durations=20 --durations-min=5

test-fast: .venv/installed-dev  ## The inner loop, some eight minutes on two cores: no pipeline runs.
	@$(RUN) pytest -n $(JOBS) -m "not slow and not pipeline and not long"

lint: .venv/installed-dev  ## Ruff and mypy.
	@$(RUN) ruff check components flows corpora tests benchmarks
	@$(RUN) ruff format --check components flows corpora tests benchmarks
	@$(RUN) mypy

bench: .venv/installed-dev  ## A benchmark: NAME=data, ARGS="its options"; without NAME a list with the minutes each takes.
	@$(RUN) benchmarks $(NAME) $(ARGS)

help:
	@awk '/^#: / { printf "\n%s\n", substr($$0, 4) } \
	  match($$0, /^[a-z-]+:.*## /) { name = $$0; sub(/:.*/, "", name); sub(/.*## /, ""); printf "  make %-10s %s\n", name, $$0 }' Makefile
	@echo
	@echo "Everything else is a module: . .venv/bin/activate, then python -m flows.NAME --help, NAME being configure (presets),"
	@echo "finetune_data (your rows or base), card (a model's answers), export (GGUF, hub), attest, forget, promote, seeds,"
	@echo "label_efficiency, mitigate, account (costs), team (share), why (--accept), or a stage. Begin with README.md."
