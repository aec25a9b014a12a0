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
INPUTS ?= 100000

.PHONY: .venv help demo torch cluster test kills fuzz lint types floors bench validation digits workloads examples docs clean

help:
	@echo 'make demo        set up, run ResNet-50 on the TPU, say where the result is'
	@echo 'make test        set up, run all tests'
	@echo 'make torch       set up, and install PyTorch too, for hwsim.from_torch and its tests'
	@echo 'make cluster     set up, and install dask and pyarrow too, for sweeps on many machines and Parquet'
	@echo 'make kills       kill sweeps at 25 random moments, and see that nothing is lost'
	@echo 'make fuzz        feed hwsim 100,000 bad inputs, or INPUTS=...'
	@echo 'make lint        style and format'
	@echo 'make types       mypy, strict, as on Linux, macOS and Windows'
	@echo 'make floors      who may import whom'
	@echo 'make bench       speed, as quoted in the README'
	@echo 'make validation  write reports/validation/ and the error bands that ship anew'
	@echo 'make digits      write reports/digits.md anew: accuracy after each method of compression'
	@echo 'make workloads   write reports/workloads.md anew: every shipped workload on a machine of each kind'
	@echo 'make examples    write what examples/ print, and the pictures of docs/, anew'
	@echo 'make docs        build the documentation into .cache/site'
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
	$(PIP) install --quiet --constraint constraints.txt --no-build-isolation --editable '.[docs,test]'
	@touch $@

demo: $(READY)
	$(BIN)/hwsim run resnet50 --design tpu_v1 --out $(DEMO)

torch: $(READY)
	$(PIP) install --quiet --constraint constraints.txt --constraint constraints-torch.txt \
		--no-build-isolation --editable '.[torch]'

cluster: $(READY)
	$(PIP) install --quiet --constraint constraints.txt --constraint constraints-cluster.txt \
		--no-build-isolation --editable '.[dask,parquet]'

kills: $(READY)
	$(BIN)/python -m tests.kills

test: $(READY)
	$(BIN)/python -m pytest -n 2

fuzz: $(READY)
	$(BIN)/python -m tests.fuzz --inputs $(INPUTS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .

types: $(READY)
	@for platform in linux darwin win32; do \
		echo "$$platform"; \
		$(BIN)/mypy --platform $$platform --cache-dir .cache/mypy/$$platform; \
	done

floors: $(READY)
	$(BIN)/lint-imports --no-logo --cache-dir .cache/import-linter

bench: $(READY)
	$(BIN)/python -m pytest tests/bench/bench_*.py --benchmark-enable --benchmark-only

validation: $(READY)
	$(BIN)/python -m hwsim.validate reports/validation hwsim/result/error_bands.csv

digits: $(READY)
	$(BIN)/python -m studies.digits.measure

workloads: $(READY)
	$(BIN)/python -m studies.workloads

examples: $(READY)
	@for example in examples/*.py; do $(BIN)/python "$$example" >"$${example%.py}.txt"; done
	@$(BIN)/hwsim run resnet50 --design tpu_v1 --no-verify --quiet --out $(DEMO)
	@$(BIN)/python docs/draw_trace.py $(DEMO) docs/pages/images/trace.svg 0 960
	@$(BIN)/python docs/draw_trace.py $(DEMO) docs/pages/images/trace_near.svg 480 560

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file docs/mkdocs.yml
	@echo 'Open .cache/site/index.html, or serve it, for search too: $(BIN)/python -m http.server -d .cache/site'

clean:
	rm -rf .venv .cache .hypothesis .benchmarks .coverage htmlcov build dist
	find docs hwsim tests -name __pycache__ -type d -prune -exec rm -rf {} +
