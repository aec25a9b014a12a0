# Set-up, main job and checks. `make demo` and `make test` need Python 3.11 to 3.13 with venv, git and make.
# The environment lives in .venv and is made anew when pyproject.toml or constraints.txt change.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The interpreter to build .venv from: the first of these that runs and is new enough, or `make PYTHON=...`.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo "$$p" && break; done)

BIN := .venv/bin
READY := .venv/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO := reports/runs/demo

.PHONY: .venv help demo test lint types floors bench validation clean

help:
	@echo 'make demo        set up, run ResNet-50 on the TPU, say where the result is'
	@echo 'make test        set up, run all tests'
	@echo 'make lint        style and format'
	@echo 'make types       mypy, strict'
	@echo 'make floors      who may import whom'
	@echo 'make bench       speed, as quoted in the README'
	@echo 'make validation  write reports/validation/ anew'
	@echo 'make clean       remove the environment and all caches; results stay'

.venv: $(READY)

$(READY): pyproject.toml constraints.txt
	@if ! '$(PYTHON)' -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
		echo 'hwsim needs Python 3.11, 3.12 or 3.13. Install one, or name it: make PYTHON=/path/to/python3.12' >&2; \
		exit 1; \
	fi
	'$(PYTHON)' -m venv .venv
	@# The build backend first and by the same pins, so that nothing is installed in a version of its own.
	$(PIP) install --quiet --constraint constraints.txt hatchling
	$(PIP) install --quiet --constraint constraints.txt --no-build-isolation --editable '.[test]'
	@touch $@

demo: $(READY)
	$(BIN)/hwsim run resnet50 --design tpu_v1 --out $(DEMO)

test: $(READY)
	$(BIN)/python -m pytest -n 2

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .

types: $(READY)
	$(BIN)/mypy

floors: $(READY)
	$(BIN)/lint-imports --no-logo --cache-dir .cache/import-linter

bench: $(READY)
	$(BIN)/python -m pytest tests/bench/bench_*.py --benchmark-enable --benchmark-only

validation: $(READY)
	$(BIN)/python -m hwsim.validate reports/validation

clean:
	rm -rf .venv .cache .hypothesis .benchmarks .coverage htmlcov build dist
	find hwsim tests -name __pycache__ -type d -prune -exec rm -rf {} +
