# `make` lists what there is. Everything runs in .venv, which each target sets up as far as it needs.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
# Tests that wait leave the cores to others: one process runs those with Ray, the others the rest.
PROCESSES ?= 3
PYTEST := $(BIN)/pytest -rs -n $(PROCESSES)

.DEFAULT_GOAL := help
.PHONY: help install setup demo test test-fast test-interop check mutants format accept docs bench-plan bench-documents \
	bench-solver bench-providers bench-field pins

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON"; exit 1; }
	@echo "making $(VENV)" && $(PYTHON) -m venv $(VENV)

# A run-time environment is a part of the development one, with the same pins.
$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing what Skerry needs to run (a minute or two)"
	@test -e $(VENV)/.dev || $(PIP) --require-hashes -r requirements/runtime.txt
	@$(PIP) --no-deps --no-build-isolation -e . && touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing what the tests need (a minute or two)"
	@$(PIP) --require-hashes -r requirements/dev.txt
	@$(PIP) --no-deps --no-build-isolation -e . && touch $@ $(VENV)/.runtime

# The search is compiled when it first runs, once for these sources; no test is to wait for that.
$(VENV)/.compiled: $(wildcard scheduler/solve/search/*.py) scheduler/solve/problem.py $(VENV)/.dev
	@echo "compiling the search of the solver (a minute or two)"
	@SKERRY_EXAMPLES=15 $(BIN)/pytest --quiet --timeout 0 tests/properties/test_problem.py > $(VENV)/compile.log 2>&1 \
		|| { cat $(VENV)/compile.log; exit 1; }
	@touch $@

# It pins other releases of the SDKs than ours, so that it stands apart.
$(VENV)/.az: requirements/az.txt | $(VENV)/bin/python
	@echo "installing the az command, which drives the embedded Azure in a test (a minute or two)"
	@$(PYTHON) -m venv $(VENV)/az
	@$(VENV)/az/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/az.txt && touch $@

# It stands apart, so that the usual environment stays lean; it finds the other's packages through a path file.
$(VENV)/.mutants: requirements/mutants.txt $(VENV)/.dev
	@echo "installing the mutation tool" && $(PYTHON) -m venv $(VENV)/mutants
	@$(VENV)/mutants/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/mutants.txt
	@site='import sysconfig; print(sysconfig.get_path("purelib"))'; \
		$(BIN)/python -c "$$site" > "$$($(VENV)/mutants/bin/python -c "$$site")/skerry.pth" && touch $@

install: $(VENV)/.runtime ## Install the skerry command into .venv, without what the tests need

setup: $(VENV)/.dev $(VENV)/.compiled ## Make the development environment

demo: $(VENV)/.runtime ## Show the whole product on this computer
	@$(BIN)/skerry demo $(ARGS)

test: $(VENV)/.dev $(VENV)/.compiled ## Run the tests, real Ray included (PROCESSES at a time)
	@$(PYTEST) -m "not interop" $(ARGS)

test-fast: $(VENV)/.dev $(VENV)/.compiled ## Run the tests without Ray and clouds, with fewer examples of each property
	@SKERRY_EXAMPLES=15 $(PYTEST) -m "not e2e and not clouds and not interop" $(ARGS)

test-interop: $(VENV)/.dev $(VENV)/.az ## Run the clients that others wrote against the embedded clouds
	@$(BIN)/pytest -rs -m interop $(ARGS)

check: $(VENV)/.dev ## Lint, types, import contracts: what CI runs beside the tests
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet . && echo "ruff: fine"
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache 2>/dev/null | tail -9

mutants: $(VENV)/.mutants ## Change the code that decides what is safe, and count what no test notices (half an hour)
	@$(VENV)/mutants/bin/python tests/mutants.py $(ARGS)

format: $(VENV)/.dev ## Format the code, and correct what ruff can
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

accept: $(VENV)/.dev ## Rewrite the goldens of the scenarios; the diff is the review
	@SKERRY_ACCEPT=1 $(BIN)/pytest tests/scenarios

docs: $(VENV)/.dev ## Write docs/reference/spec.md from the models
	@$(BIN)/python -m scheduler.cli.reference > docs/reference/spec.md

bench-plan: $(VENV)/.dev ## Measure how long a decision takes, by size of the fleet
	@$(BIN)/python benchmarks/bench_plan.py

bench-documents: $(VENV)/.dev ## Measure how long 10,000 applications take to validate
	@$(BIN)/python benchmarks/bench_documents.py

bench-solver: $(VENV)/.dev ## Measure the solver at fleet sizes, against bounds and peers (about half an hour)
	@$(BIN)/python benchmarks/bench_solver.py --plot $(ARGS)

bench-field: $(VENV)/.dev ## Run bad days from the field over simulated clouds (a few minutes)
	@$(BIN)/python benchmarks/bench_field.py $(ARGS)

bench-providers: $(VENV)/.dev ## Measure the adapters through the real SDKs, against the embedded clouds
	@$(BIN)/python benchmarks/bench_providers.py

pins: ## Renew the pins (needs uv)
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --extra emulator \
		pyproject.toml requirements/build.in -o requirements/runtime.txt
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --extra emulator \
		pyproject.toml requirements/build.in requirements/dev.in -c requirements/runtime.txt -o requirements/dev.txt
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		requirements/az.in -o requirements/az.txt
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		requirements/mutants.in -c requirements/dev.txt -o requirements/mutants.txt
