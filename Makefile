# Everything works from a fresh clone with git, make and Python 3.11 or later.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: demo test lint unit fleet molecule bench cases clean

demo: $(VENV)/.installed ## run the main job on this machine
	$(BIN)/orchestrator demo

test: $(VENV)/.tested ## everything that this machine can run; what is skipped is listed
	$(BIN)/python -m tests.run

lint: $(VENV)/.tested
	$(BIN)/python -m tests.run lint

unit: $(VENV)/.tested
	$(BIN)/python -m tests.run unit

fleet: $(VENV)/.tested
	$(BIN)/python -m tests.run fleet

molecule: $(VENV)/.tested
	$(BIN)/python -m tests.run molecule

bench: $(VENV)/.benched ## against playbooks, pyinfra and a shell loop, on fleet hosts, in one run
	$(BIN)/python -m tests.bench $(BENCH)

cases: $(VENV)/.tested ## write the golden cases anew; review the diff
	$(BIN)/python -m tests.cases --write

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[forges,test,lint,molecule]'
	touch $@

$(VENV)/.benched: $(VENV)/.tested
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .coverage
