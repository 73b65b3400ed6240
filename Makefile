# The commands of the project. Each installs what it needs; `make` lists them.
PYTHON ?= python3
# One virtual environment for each Python: .venv, and .venv-3.13 with PYTHON=python3.13.
VENV := .venv$(if $(filter-out python3,$(PYTHON)),-$(patsubst python%,%,$(notdir $(PYTHON))))
BIN := $(VENV)/bin
# Three times as many as two cores: the tests often wait for a server or a timer.
WORKERS ?= 6
PYTEST := $(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=worksteal
# The tests start hundreds of interpreters, which would each compile everything again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test coverage check lint style format docs dist bench torture
.DELETE_ON_ERROR:

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand --tabs=10

run: $(VENV)/installed ## serve the example on 127.0.0.1:8888
	cd examples/hello && ../../$(BIN)/python -m toto_aio serve

test: $(VENV)/installed ## run all tests; installs the servers (Debian) and packages of npm that they need
	tests/install_packages
	$(BIN)/python -m tests.support.node
	$(PYTEST) --durations=10 $(COVERAGE)

coverage: COVERAGE := --cov --cov-report=term-missing:skip-covered
coverage: test ## run all tests and measure their coverage, child processes included: half as long again

check: style ## the style, and the tests that need no server: under a minute
	$(PYTEST) -m "not slow"

lint: style ## the style, and known vulnerabilities in what the project depends on
	$(BIN)/pip-audit --skip-editable

style: $(VENV)/installed ## format, spelling, types, layers, risky code
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/codespell
	$(BIN)/mypy && $(BIN)/lint-imports --no-logo
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive src

format: $(VENV)/installed ## format all code, and fix what can be fixed
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

docs: $(VENV)/installed ## build the site of the documentation in docs/_build
	$(BIN)/python docs/_ext/generated.py
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build

dist: $(VENV)/installed ## build the sdist, the wheel and the package for npm in dist/, and show that they are sound
	rm -rf dist && $(BIN)/python -m build --no-isolation
	$(BIN)/python -m tests.support.node pack dist
	tests/check_dist $(BIN)

bench: $(VENV)/installed ## measure what the service costs compared with others, with wrk: 15 minutes, tables and benchmarks/results
	@command -v wrk >/dev/null || { echo "bench needs wrk: apt-get install wrk" >&2; exit 1; }
	tests/install_packages
	$(BIN)/python -m benchmarks

torture: $(VENV)/installed ## run the drills, minutes each, on a machine that does little else
	set -e; for drill in login_timing code_timing codes outages restarts crashes handover channels presence failover idempotent pidfiles drain hostile contract soak; do $(BIN)/python -m torture.$$drill; done

$(VENV)/installed: pyproject.toml src/toto_aio/__init__.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@
