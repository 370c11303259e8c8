# Every target sets up what it needs. `make help` lists them.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OLDEST := .venv-oldest
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help demo test test-types test-oldest check bench soak clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

demo: $(READY) ## audit this Python environment with a workflow, on an embedded PostgreSQL
	@$(BIN)/baton demo

test: check ## everything that CI runs: the checks and the tests
	$(PYTEST) -n 2 --dist worksteal -m "not bench and not slow and not typecheckers"

check: $(READY) ## ruff, mypy --strict, import-linter, baton-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo 
	$(if $(wildcard examples),$(BIN)/baton-lint examples)

test-types: $(READY) ## what pyright, ty and pyrefly make of the DSL and of emitted calls
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group typecheckers
	$(PYTEST) -m typecheckers

test-oldest: ## the mypy plugin on the oldest mypy that it supports
	@.ci/python -m venv $(OLDEST)
	@grep -v '^mypy==' constraints.txt > $(OLDEST)/constraints.txt
	@$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(OLDEST)/constraints.txt \
		--editable . --group dev 'mypy==2.0.0'
	$(OLDEST)/bin/python -m pytest -n 2 --dist worksteal -m "not typecheckers" tests/typecheck tests/typing

bench: $(READY) ## ratios against references in the same run
	$(BIN)/python -m tests.benchmarks

soak: $(READY) ## the tests that take minutes
	$(PYTEST) -m slow

clean: ## forget the virtual environment and all caches
	rm -rf $(VENV) $(OLDEST) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist

$(READY): pyproject.toml constraints.txt .ci/python
	@.ci/python -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . --group dev
	@touch $@
