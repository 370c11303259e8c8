# Every target sets up what it needs. `make help` lists them.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help demo test check bench soak clean

help: ## what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-7s %s\n", $$1, $$2}'

demo: $(READY) ## audit this Python environment with a workflow, on an embedded PostgreSQL
	@$(BIN)/baton demo

test: check ## everything that CI runs: the checks and the tests
	$(PYTEST) -n 2 --dist worksteal -m "not bench and not slow"

check: $(READY) ## ruff, mypy --strict, import-linter, baton-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo 
	$(if $(wildcard examples),$(BIN)/baton-lint examples)

bench: $(READY) ## ratios against references in the same run
	$(BIN)/python -m tests.benchmarks

soak: $(READY) ## the tests that take minutes
	$(PYTEST) -m slow

clean: ## forget the virtual environment and all caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist

$(READY): pyproject.toml constraints.txt .ci/python
	@.ci/python -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . --group dev
	@touch $@
