# make run    serve the example on 127.0.0.1:8888
# make test   run the tests; make lint checks style, types, risky code and known holes in what it depends on
# make docs   build the site of the documentation in docs/_build
# make bench  measure what the service costs beside others, with wrk: 15 minutes, tables and benchmarks/results
# make torture   run the drills, minutes each, on a machine that does little else
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test lint docs bench torture
.DELETE_ON_ERROR:

run: .venv/installed
	cd examples/hello && ../../$(BIN)/python -m toto_aio serve

test: .venv/installed
	tests/install_packages
	$(BIN)/python -m pytest --numprocesses=2 --dist=worksteal --cov --cov-report=term-missing:skip-covered

lint: .venv/installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive src && $(BIN)/pip-audit --skip-editable

docs: .venv/installed
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build

bench: .venv/installed
	@command -v wrk >/dev/null || { echo "bench needs wrk: apt-get install wrk" >&2; exit 1; }
	tests/install_packages
	$(BIN)/python -m benchmarks

torture: .venv/installed
	$(BIN)/python -m torture.login_timing
	$(BIN)/python -m torture.restarts
	$(BIN)/python -m torture.crashes
	$(BIN)/python -m torture.pidfiles
	$(BIN)/python -m torture.drain
	$(BIN)/python -m torture.hostile
	$(BIN)/python -m torture.soak

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@
