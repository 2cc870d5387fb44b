# Each target sets itself up: the first call makes .venv and installs the pinned set, later calls go straight to work.
# All else is the command `greenhouse` (flows/cli.py), which the installation puts into .venv/bin.

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

.venv/installed: pyproject.toml constraints.txt hashes.txt hashes-dev.txt flows/install.py
	@$(FIND_PYTHON); "$$chosen" -P flows/install.py

.venv/installed-dev: pyproject.toml constraints.txt hashes.txt hashes-dev.txt flows/install.py
	@$(FIND_PYTHON); "$$chosen" -P flows/install.py dev

.PHONY: help setup demo up test test-fast lint bench

demo: .venv/installed  ## The whole pipeline, then a table; nothing to do the second time.
	@$(RUN) flows.cli run

up: .venv/installed  ## Prefect, MLflow and the forms on 127.0.0.1 (PREFECT_PORT, MLFLOW_PORT); Ctrl-C stops them.
	@exec $(RUN) flows.cli up

setup: .venv/installed  ## Only install.

test: .venv/installed-dev  ## The tests, without the cases that `make bench NAME=long` runs; JOBS=4 processes instead of 2.
	@$(RUN) pytest -n $(JOBS) --durations=20 --durations-min=5

test-fast: .venv/installed-dev  ## The inner loop: no pipeline runs.
	@$(RUN) pytest -n $(JOBS) -m "not slow and not pipeline and not long"

lint: .venv/installed-dev  ## Ruff and mypy.
	@$(RUN) ruff check components flows recorder corpora tests benchmarks
	@$(RUN) ruff format --check components flows recorder corpora tests benchmarks
	@$(RUN) mypy

bench: .venv/installed-dev  ## A benchmark: NAME=data, ARGS="its options"; without NAME a list with the minutes each takes.
	@$(RUN) benchmarks $(NAME) $(ARGS)

help:
	@awk 'match($$0, /^[a-z-]+:.*## /) { name = $$0; sub(/:.*/, "", name); sub(/.*## /, ""); printf "  make %-10s %s\n", name, $$0 }' Makefile
	@echo "Everything else is .venv/bin/greenhouse: greenhouse --help after . .venv/bin/activate. Begin with README.md."
