# make run    serve the example on 127.0.0.1:8888
# make test   run the tests; make lint checks style and types
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test lint bench
.DELETE_ON_ERROR:

run: .venv/installed
	cd examples/hello && ../../$(BIN)/python -m toto_aio serve

test: .venv/installed
	tests/install_packages
	$(BIN)/python -m pytest --cov --cov-report=term-missing:skip-covered

lint: .venv/installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/installed
	$(BIN)/python benchmarks/echo.py

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@
