# Everything runs in a virtual environment of its own, made when first needed.
#   make test PYTHON=python3.12   another Python (3.11 or newer)
#   make test ARGS="-k staging"   more options for the command behind the target
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
# The DIRAC server of the tests: its environment, and the folder of one that is kept.
DIRAC_VENV ?= .venv-dirac
DIR ?= .dirac-server
# The other executor for PanDA, which the benchmark compares; the folder of a server that is kept.
PANDA_VENV ?= .venv-panda
PANDA_DIR ?= .panda-server
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
EXAMPLE := example_workflow

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help example test test-panda test-dirac coverage lint types bench clean \
    dirac-server dirac-server-stop panda-server panda-server-stop

help:
	@echo "make example            run the example workflow on the local backend"
	@echo "make test               run the tests"
	@echo "make test-panda         run those of them that use the PanDA server"
	@echo "make test-dirac         run those that need a DIRAC server, which is installed first"
	@echo "make coverage           run the tests and check their coverage"
	@echo "make lint               check style, formatting and imports"
	@echo "make types              check the types"
	@echo "make bench              run the benchmarks"
	@echo "make dirac-server       install and start a real DIRAC server, to try things with"
	@echo "make dirac-server-stop  stop it and remove its files"
	@echo "make panda-server       start the PanDA server of the tests, to try things with"
	@echo "make panda-server-stop  stop it and remove its files"
	@echo "make clean              remove what the other targets made"

# PATH has the environment first, as after `source .venv/bin/activate`.
example: $(VENV)/.example
	@cd $(EXAMPLE) && PATH="$(abspath $(BIN)):$$PATH" \
	    snakemake --executor grid -j 4 --profile profiles/local $(ARGS)
	@echo "The picture: $(CURDIR)/$(EXAMPLE)/results/z_mass.png"

test: $(VENV)/.test
	$(BIN)/pytest -n 2 tests $(ARGS)

# A part of `test`, with more tests at a time: jobs mostly wait there. On a busy machine a time limit
# may be too short: what fails is tried again, and said.
test-panda: $(VENV)/.test
	$(BIN)/pytest -n 4 --reruns 1 tests/panda $(ARGS)

# Jobs on the server mostly wait for each other, so more tests at a time than there are cores. The
# server drops a connection now and then (tests/servers/dirac/README.md): what fails is tried again.
test-dirac: $(VENV)/.test $(DIRAC_VENV)/.dirac
	GRID_TEST_DIRAC_VENV=$(abspath $(DIRAC_VENV)) GRID_TEST_DIRAC_REQUIRED=1 \
	    $(BIN)/pytest -n 4 --dist loadgroup --reruns 2 tests/dirac $(ARGS)

coverage: $(VENV)/.test
	$(BIN)/pytest -n 2 tests --cov --cov-report=term $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(VENV)/.dev
	$(BIN)/mypy $(ARGS)

bench: $(VENV)/.bench $(PANDA_VENV)/.panda
	@set -e; for script in benchmarks/bench_*.py; do \
	    echo "== $$script"; GRID_TEST_DIRAC_VENV=$(DIRAC_VENV) \
	    GRID_BENCH_PANDA_VENV=$(PANDA_VENV) $(BIN)/python "$$script" $(ARGS); done

# Jobs find the environment of the tests first, so Snakemake is there.
dirac-server: $(DIRAC_VENV)/.dirac $(VENV)/.test
	$(BIN)/python -m tests.servers.dirac up --dir $(DIR) --venv $(DIRAC_VENV) \
	    --worker-path $(BIN) $(ARGS)
	@$(BIN)/python -m tests.servers.dirac env --dir $(DIR) >$(DIR)/client.sh
	@echo "To be its client:   . $(abspath $(BIN))/activate; . $(abspath $(DIR))/client.sh"

dirac-server-stop:
	$(PYTHON) -m tests.servers.dirac remove --dir $(DIR)

panda-server: $(VENV)/.test
	$(BIN)/python -m tests.servers.panda up --dir $(PANDA_DIR) --worker-path $(abspath $(BIN)) $(ARGS)
	@$(BIN)/python -m tests.servers.panda env --dir $(PANDA_DIR) >$(PANDA_DIR)/client.sh
	@echo "To be its client:   . $(abspath $(BIN))/activate; . $(abspath $(PANDA_DIR))/client.sh"

panda-server-stop:
	$(BIN)/python -m tests.servers.panda remove --dir $(PANDA_DIR)

clean: $(if $(wildcard $(DIR)/settings.json),dirac-server-stop) \
    $(if $(wildcard $(PANDA_DIR)),panda-server-stop)
	rm -rf $(VENV) $(DIRAC_VENV) $(PANDA_VENV) dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
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

$(DIRAC_VENV)/.dirac: tests/servers/dirac/install.py
	$(PYTHON) -m tests.servers.dirac.install $(DIRAC_VENV)
	@touch $@

# Of the same versions as the environment of the tests, but for what that executor cannot bear.
$(PANDA_VENV)/.panda: $(VENV)/.bench
	$(PYTHON) -m venv $(PANDA_VENV)
	$(PANDA_VENV)/bin/python -m pip --disable-pip-version-check --quiet install \
	    snakemake-executor-plugin-panda==1.1.0 \
	    $$($(BIN)/python -m pip freeze | grep -E '^(snakemake|panda-client|snakemake-storage-plugin-fs)==')
	@touch $@
