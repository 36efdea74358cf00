# Everything runs in a virtual environment of its own, made when first needed.
#   make test PYTHON=python3.12   another Python (3.11 or newer)
#   make test ARGS="-k staging"   more options for the command behind the target
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
EXAMPLE := example_workflow

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help example test coverage lint types bench clean

help:
	@echo "make example   run the example workflow on the local backend"
	@echo "make test      run the tests"
	@echo "make coverage  run the tests and check their coverage"
	@echo "make lint      check style and formatting"
	@echo "make types     check the types"
	@echo "make bench     run the benchmarks"
	@echo "make clean     remove what the other targets made"

# PATH has the environment first, as after `source .venv/bin/activate`.
example: $(VENV)/.example
	@cd $(EXAMPLE) && PATH="$(abspath $(BIN)):$$PATH" \
	    snakemake --executor grid -j 4 --profile profiles/local $(ARGS)
	@echo "The picture: $(CURDIR)/$(EXAMPLE)/results/z_mass.png"

test: $(VENV)/.test
	$(BIN)/pytest -n 2 tests $(ARGS)

coverage: $(VENV)/.test
	$(BIN)/pytest -n 2 tests --cov --cov-report=term $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy $(ARGS)

bench: $(VENV)/.bench
	@set -e; for script in benchmarks/bench_*.py; do \
	    echo "== $$script"; $(BIN)/python "$$script" $(ARGS); done

clean:
	rm -rf $(VENV) dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf $(addprefix $(EXAMPLE)/,.snakemake benchmarks logs results)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: an environment, and what is installed in it.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Python 3.11 or newer is needed, '$(PYTHON)' is not." >&2; \
	    echo "Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.example: $(VENV)/.made pyproject.toml $(EXAMPLE)/requirements.txt
	$(PIP) install -e . -r $(EXAMPLE)/requirements.txt
	@touch $@

$(VENV)/.test: $(VENV)/.made pyproject.toml $(EXAMPLE)/requirements.txt
	$(PIP) install -e '.[test,zstd]' -r $(EXAMPLE)/requirements.txt
	@touch $@

$(VENV)/.bench: $(VENV)/.test
	$(PIP) install -e '.[bench]'
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml
	$(PIP) install -e '.[dev,zstd]'
	@touch $@
