# Everything runs in a virtual environment of its own, made when first needed.
#   make test PYTHON=python3.12   another Python (3.11 or newer)
#   make test ARGS="-k staging"   more options for the command behind the target
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
# The backend whose conformance is tested: local, panda, dirac.
BACKEND ?= local
# Tests that run at a time: most wait now and then, for jobs or for a server.
WORKERS ?= 4
# The DIRAC server of the tests: its version if it is not the newest, its environment, and the
# folder of one that is kept.
DIRAC_VERSION ?=
DIRAC_VENV ?= .venv-dirac$(addprefix -,$(DIRAC_VERSION))
DIR ?= .dirac-server$(addprefix -,$(DIRAC_VERSION))
# The latest of each supported version but the newest.
OLDER_DIRACS := 8.0.86 9.0.28
OLDER_DIRAC_VENVS := $(addprefix .venv-dirac-,$(OLDER_DIRACS))
# The clients of PanDA that cannot be in the environment of the tests: of iDDS, and of the other
# executor, which the benchmark compares. The folder of a server that is kept.
IDDS_VENV ?= .venv-idds
PANDA_VENV ?= .venv-panda
PANDA_DIR ?= .panda-server
# The Rucio server of the tests: its environment, and the folder of one that is kept.
RUCIO_VENV ?= .venv-rucio
RUCIO_DIR ?= .rucio-server
# The oldest supported Snakemake.
OLDEST_VENV ?= .venv-oldest
# What builds and checks the package: it needs a newer `packaging` than Snakemake can have.
PACKAGE_VENV ?= .venv-package
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# What fails is tried once more; the last lines of a run name what needed that.
SERVERS = GRID_TEST_DIRAC_VENV=$(abspath $(DIRAC_VENV)) GRID_TEST_DIRAC_REQUIRED=1 \
    GRID_TEST_RUCIO_VENV=$(abspath $(RUCIO_VENV)) GRID_TEST_RUCIO_REQUIRED=1
REQUIRED = GRID_TEST_IDDS_PYTHON=$(abspath $(IDDS_VENV))/bin/python GRID_TEST_IDDS_REQUIRED=1 \
    GRID_TEST_STORES_REQUIRED=1 GRID_TEST_BROWSER_REQUIRED=1 GRID_TEST_CONTAINERS_REQUIRED=1
PYTEST_OPTIONS := -n $(WORKERS) --reruns 1
PYTEST := $(BIN)/pytest $(PYTEST_OPTIONS)
# What needs nothing but Python packages, and not much time.
QUICK := --dist worksteal -m "not slow and not dirac and not rucio"
# Where tests meet Snakemake, rather than jobs, stores and servers.
OF_SNAKEMAKE := tests/unit/snakemake_api $(addprefix tests/conformance/test_,workflows.py fallback.py) \
    $(addprefix tests/workflows/test_,snakemake_base.py groups.py storage.py)
EXAMPLE := example_workflow

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help example test test-units test-workflows test-oldest test-package test-snakemake test-all \
    test-dirac-versions conformance lint types bench clean \
    dirac-server dirac-server-stop panda-server panda-server-stop rucio-server rucio-server-stop

help:
	@echo "make example            run the example workflow on the local backend"
	@echo "make test               run the tests that need nothing but Python packages"
	@echo "make test-units         those of them that start no workflow"
	@echo "make test-workflows     those of them that run workflows on the local backend"
	@echo "make test-oldest        some of them with the oldest supported Snakemake"
	@echo "make test-package       build the package, and run a workflow where its wheel is installed"
	@echo "make test-snakemake     run Snakemake's own test suite on the local backend, for an hour"
	@echo "make conformance        run the set that every backend has to pass; BACKEND=dirac for another"
	@echo "make test-dirac-versions  run that set with each supported version of DIRAC"
	@echo "make test-all           run all tests, for hours, with servers that are installed first"
	@echo "make lint               check style, formatting and imports"
	@echo "make types              check the types"
	@echo "make bench              run the benchmarks"
	@echo "make dirac-server       install and start a real DIRAC server, to try things with"
	@echo "make dirac-server-stop  stop it and remove its files"
	@echo "make panda-server       start the PanDA server of the tests, to try things with"
	@echo "make panda-server-stop  stop it and remove its files"
	@echo "make rucio-server       install and start a real Rucio server, to try things with"
	@echo "make rucio-server-stop  stop it and remove its files"
	@echo "make clean              remove what the other targets made"

# PATH has the environment first, as after `source .venv/bin/activate`.
example: $(VENV)/.example
	@cd $(EXAMPLE) && PATH="$(abspath $(BIN)):$$PATH" \
	    snakemake --executor grid -j 4 --profile profiles/local $(ARGS)
	@echo "The picture: $(CURDIR)/$(EXAMPLE)/results/z_mass.png"

test: $(VENV)/.all
	$(PYTEST) $(QUICK) tests/unit tests/workflows tests/conformance $(ARGS)

test-units: $(VENV)/.all
	$(PYTEST) $(QUICK) tests/unit $(ARGS)

test-workflows: $(VENV)/.all
	$(PYTEST) --dist worksteal -m "not slow and not panda and not dirac and not rucio" \
	    tests/workflows tests/conformance $(ARGS)

test-oldest: $(OLDEST_VENV)/.oldest
	$(OLDEST_VENV)/bin/pytest $(PYTEST_OPTIONS) --dist worksteal \
	    -m "not slow and not panda and not dirac and not rucio" $(OF_SNAKEMAKE) $(ARGS)

test-package: $(PACKAGE_VENV)/.package
	$(PACKAGE_VENV)/bin/python -m tests.package $(ARGS)

# With the suite in the source distribution of the installed Snakemake, which pip downloads.
test-snakemake: $(VENV)/.all
	$(BIN)/python -m tests.snakemake_suite $(ARGS)

conformance: $(VENV)/.all $(if $(filter dirac,$(BACKEND)),$(DIRAC_VENV)/.dirac)
	$(SERVERS) $(PYTEST) -m $(BACKEND) tests/conformance $(ARGS)

# The set on a server of each version but the newest with the client of the same version; then all
# clients on all servers.
test-dirac-versions: $(VENV)/.all $(DIRAC_VENV)/.dirac $(addsuffix /.dirac,$(OLDER_DIRAC_VENVS))
	@set -e; for venv in $(OLDER_DIRAC_VENVS) $(DIRAC_VENV); do \
	    echo "== the DIRAC server of $$venv"; \
	    set=tests/conformance; if [ $$venv = $(DIRAC_VENV) ]; then set=; fi; \
	    GRID_TEST_DIRAC_VENV=$$venv GRID_TEST_DIRAC_REQUIRED=1 \
	    GRID_TEST_DIRAC_CLIENTS=$$(echo $(OLDER_DIRAC_VENVS) $(DIRAC_VENV) | tr ' ' :) \
	    $(PYTEST) -m dirac $$set tests/dirac/test_versions.py tests/dirac/test_local_mode.py \
	    $(ARGS); done

# Coverage is measured where no server is: Snakemake is much slower with it.
test-all: $(VENV)/.all $(DIRAC_VENV)/.dirac $(IDDS_VENV)/.idds $(RUCIO_VENV)/.rucio
	$(PYTEST) --dist worksteal -m "not slow and not panda and not dirac and not rucio" tests \
	    --cov --cov-report=term $(ARGS)
	$(MAKE) --no-print-directory test-snakemake ARGS=
	$(MAKE) --no-print-directory test-dirac-versions ARGS=
	$(SERVERS) $(REQUIRED) GRID_TEST_BUNDLE=5 \
	    $(PYTEST) -m "local or panda or dirac" tests/conformance
	$(SERVERS) $(REQUIRED) GRID_TEST_JOBS=1000 \
	    $(PYTEST) --dist loadgroup -m "slow or panda or dirac or rucio" tests $(ARGS)

lint: $(VENV)/.all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(VENV)/.all
	$(BIN)/mypy $(ARGS)

bench: $(VENV)/.all $(PANDA_VENV)/.panda
	@set -e; for script in benchmarks/bench_*.py; do \
	    echo "== $$script"; GRID_TEST_DIRAC_VENV=$(DIRAC_VENV) \
	    GRID_BENCH_PANDA_VENV=$(PANDA_VENV) $(BIN)/python "$$script" $(ARGS); done

# Jobs find a Python without packages first; ARGS="--worker-path $(BIN)" is one with Snakemake.
dirac-server: $(DIRAC_VENV)/.dirac $(VENV)/.all
	$(BIN)/python -m tests.servers.dirac up --dir $(DIR) --venv $(DIRAC_VENV) $(ARGS)
	@$(BIN)/python -m tests.servers.dirac env --dir $(DIR) >$(DIR)/client.sh
	@echo "To be its client:   . $(abspath $(BIN))/activate; . $(abspath $(DIR))/client.sh"

dirac-server-stop:
	$(PYTHON) -m tests.servers.dirac remove --dir $(DIR)

panda-server: $(VENV)/.all
	$(BIN)/python -m tests.servers.panda up --dir $(PANDA_DIR) $(ARGS)
	@$(BIN)/python -m tests.servers.panda env --dir $(PANDA_DIR) >$(PANDA_DIR)/client.sh
	@echo "To be its client:   . $(abspath $(BIN))/activate; . $(abspath $(PANDA_DIR))/client.sh"

panda-server-stop:
	$(BIN)/python -m tests.servers.panda remove --dir $(PANDA_DIR)

rucio-server: $(RUCIO_VENV)/.rucio $(VENV)/.all
	$(BIN)/python -m tests.servers.rucio up --dir $(RUCIO_DIR) --venv $(RUCIO_VENV) $(ARGS)
	@$(BIN)/python -m tests.servers.rucio env --dir $(RUCIO_DIR) >$(RUCIO_DIR)/client.sh
	@echo "To be its client:   . $(abspath $(BIN))/activate; . $(abspath $(RUCIO_DIR))/client.sh"

rucio-server-stop:
	$(BIN)/python -m tests.servers.rucio remove --dir $(RUCIO_DIR)

clean: $(if $(wildcard $(DIR)/settings.json),dirac-server-stop) \
    $(if $(wildcard $(PANDA_DIR)),panda-server-stop) \
    $(if $(wildcard $(RUCIO_DIR)),rucio-server-stop)
	rm -rf $(VENV) $(DIRAC_VENV) $(OLDER_DIRAC_VENVS) $(IDDS_VENV) $(OLDEST_VENV) $(PACKAGE_VENV) $(PANDA_VENV)
	rm -rf $(RUCIO_VENV) dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
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

$(VENV)/.all: $(VENV)/.made pyproject.toml $(EXAMPLE)/requirements.txt
	$(PIP) install -e '.[dev,bench]' -r $(EXAMPLE)/requirements.txt
	@touch $@

$(IDDS_VENV)/.idds: tests/servers/panda/idds.txt
	$(PYTHON) -m venv $(IDDS_VENV)
	$(IDDS_VENV)/bin/python -m pip --disable-pip-version-check --quiet install -r $<
	@touch $@

$(OLDEST_VENV)/.oldest: pyproject.toml .ci/oldest
	$(PYTHON) -m venv $(OLDEST_VENV)
	$(PYTHON) .ci/oldest >$(OLDEST_VENV)/constraints.txt
	$(OLDEST_VENV)/bin/python -m pip --disable-pip-version-check --quiet \
	    install --constraint $(OLDEST_VENV)/constraints.txt -e '.[test]'
	@touch $@

$(PACKAGE_VENV)/.package:
	$(PYTHON) -m venv $(PACKAGE_VENV)
	$(PACKAGE_VENV)/bin/python -m pip --disable-pip-version-check --quiet \
	    install 'build>=1.2' 'hatchling>=1.27' 'twine>=6'
	@touch $@

$(DIRAC_VENV)/.dirac: tests/servers/dirac/install.py
	$(PYTHON) -m tests.servers.dirac.install $(DIRAC_VENV) $(DIRAC_VERSION)
	@touch $@

.venv-dirac-%/.dirac: tests/servers/dirac/install.py
	$(PYTHON) -m tests.servers.dirac.install .venv-dirac-$* $*
	@touch $@

$(RUCIO_VENV)/.rucio: tests/servers/rucio/install.py
	$(PYTHON) -m tests.servers.rucio.install $(RUCIO_VENV)
	@touch $@

# Of the same versions as the environment of the tests, but for what that executor cannot bear.
$(PANDA_VENV)/.panda: $(VENV)/.all
	$(PYTHON) -m venv $(PANDA_VENV)
	$(PANDA_VENV)/bin/python -m pip --disable-pip-version-check --quiet install \
	    snakemake-executor-plugin-panda==1.1.0 \
	    $$($(BIN)/python -m pip freeze | grep -E '^(snakemake|panda-client|snakemake-storage-plugin-fs)==')
	@touch $@
