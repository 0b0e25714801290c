# Each target sets up what it needs in .venv and can be run on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint bench bench-short faults docs clean

demo: $(STAMP)
	$(BIN)/thenwire demo

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/thenwire check rules/
	$(BIN)/thenwire fmt --check rules tests

# The other engines it is held against are an extra of their own.
bench: $(STAMP)
	$(BIN)/pip install -q --disable-pip-version-check -e '.[bench]'
	$(BIN)/python -m benchmarks

bench-short: $(STAMP)
	$(BIN)/python -m benchmarks --short

# Long: kills of the service and of the server, and a million events of which many are bad.
faults: $(STAMP)
	$(BIN)/python tests/faults/campaign.py
	$(BIN)/python tests/faults/bad_stream.py

docs: $(STAMP)
	$(BIN)/pip install -q -e '.[docs]'
	$(BIN)/python -m sphinx -W -b html docs docs/_build/html

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("thenwire needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[server,test,lint]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis docs/_build
