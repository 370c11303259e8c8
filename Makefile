# Every target sets up what it needs. `make help` lists them.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CHECKERS := $(VENV)/.checkers
OLDEST_MYPY := 2.0.0
OLDEST := .mypy-$(OLDEST_MYPY)
LOWEST := .venv-lowest
ECOSYSTEM := .ecosystem
PEERS := .peers
LITELLM := .litellm
MUTANTS := 100000
PYTEST := $(BIN)/python -m pytest
# Tests wait for processes, databases and each other for much of their time: three keep two processors busy.
BESIDE := -n 3 --dist worksteal
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
NOT_INSTALLED := { echo "pip could not install it: if the package index did not answer, run make again" >&2; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help demo example-brief quick thorough test test-dsn test-debian test-types test-ecosystem fuzz test-oldest test-lowest test-packages test-litellm test-web screenshots check docs bench bench-peers soak clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

demo: $(READY) ## audit this Python environment with a workflow, on an embedded PostgreSQL
	@$(BIN)/baton demo

example-brief: $(READY) ## several models side by side, what they cost and what they saw; on a local server without a key
	@cd examples/research_brief && ../../$(BIN)/python -m research_brief

test: $(READY) quick ## the checks and the tests
	@$(BIN)/python -m compileall -q baton_dsl plugin # which every command that a test starts would do
	@.ci/beside "make --no-print-directory thorough" \
		$(PYTEST) $(BESIDE) -m "not bench and not slow and not typecheckers and not packaging and not ecosystem and not browser"

check: quick thorough ## ruff, mypy --strict, import-linter, baton-lint, and the documentation

quick: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(if $(wildcard examples),$(BIN)/baton-lint examples)

thorough: $(READY)
	$(BIN)/mypy
	$(MKDOCS) build --strict --quiet

docs: $(READY) ## the documentation site, in .site; every warning is an error
	$(MKDOCS) build --strict

test-types: $(CHECKERS) ## what pyright, ty and pyrefly make of the DSL and of emitted calls
	$(PYTEST) $(BESIDE) -m typecheckers tests/typecheck tests/typing

test-ecosystem: $(ECOSYSTEM)/.ready ## baton-lint on the sources of popular packages, and with every function a step
	$(PYTEST) $(BESIDE) -m ecosystem tests/ecosystem

fuzz: $(READY) ## 100,000 mutants of sources, configurations, caches and command lines before baton-lint
	$(BIN)/python -m tests.fuzz --mutants $(MUTANTS)

test-oldest: $(OLDEST)/.ready ## the mypy plugin on the oldest mypy that it supports; `make test` runs the newest
	PYTHONPATH=$(CURDIR)/$(OLDEST) $(PYTEST) $(BESIDE) -m "not slow and not typecheckers" \
		tests/typecheck/test_mypy_*.py tests/typecheck/test_edges.py tests/typing

test-lowest: $(LOWEST)/.ready ## the tests with the lowest versions of all packages, and of Python, that pyproject.toml allows
	PYTEST_ADDOPTS='-W "ignore:_pytest.python.CallSpec2"' $(LOWEST)/bin/python -m pytest $(BESIDE) \
		-m "not bench and not slow and not typecheckers and not packaging and not ecosystem and not browser"

SERVER_TESTS := $(patsubst %,tests/integration/test_%.py,schema upgrade privileges hostile_schema insert outcomes)

test-dsn: $(READY) ## the integration tests on a server of yours: make test-dsn DSN=postgresql://superuser@...
	BATON_TEST_DSN="$(or $(DSN),$(BATON_TEST_DSN))" $(PYTEST) -n 2 --dist worksteal \
		-m "not bench and not slow and not packaging" tests/integration

test-debian: $(READY) ## what depends on the server most, on Debian's PostgreSQL; installed if it is missing
	.ci/postgres $(PYTEST) $(BESIDE) -m "not slow" $(SERVER_TESTS)

test-packages: $(READY) ## the wheel and the sdist, installed into fresh environments
	$(PYTEST) -m packaging tests/packaging

test-litellm: $(LITELLM)/.ready ## how responses of litellm are read; it is too large for the packages of all tests
	PYTHONPATH=$(CURDIR)/$(LITELLM) $(PYTEST) tests/adapters/test_litellm.py

test-web: $(READY) ## the dashboard and the demo's page in a real browser; Debian's chromium, installed if it is missing
	@.ci/servers
	$(PYTEST) -m browser tests/web tests/examples

screenshots: $(READY) ## the pictures of the dashboard in the documentation
	@.ci/servers
	$(BIN)/python -m tests.web.screenshots

bench: $(READY) ## ratios against references in the same run; ROUNDS=2 is quicker
	$(BIN)/python -m tests.benchmarks

bench-peers: $(READY) $(PEERS)/.ready ## ours beside DBOS, absurd, pgqueuer and procrastinate; ROUNDS=5 PERCENT=100 ABSURD_SQL=...
	$(BIN)/python -m tests.benchmarks.peers --environment $(PEERS) --rounds $(or $(ROUNDS),5) \
		--percent $(or $(PERCENT),100) $(if $(ABSURD_SQL),--absurd-sql $(ABSURD_SQL))

soak: $(READY) ## the tests that take minutes
	$(PYTEST) -m slow

clean: ## forget the virtual environment and all caches
	rm -rf $(VENV) $(LOWEST) $(ECOSYSTEM) $(PEERS) $(LITELLM) .site .mypy-[0-9]* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist

$(READY): pyproject.toml constraints.txt .ci/python
	@.ci/python -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1' || $(NOT_INSTALLED)
	@$(PIP) --editable . --group dev || $(NOT_INSTALLED)
	@touch $@

constraints-lowest.txt: pyproject.toml constraints.txt .ci/lowest
	@.ci/python .ci/lowest

$(LOWEST)/.ready: constraints-lowest.txt
	@OLDEST=yes .ci/python -m venv --clear $(LOWEST)
	@$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1' || $(NOT_INSTALLED)
	@$(LOWEST)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints-lowest.txt \
		--editable . --group test || $(NOT_INSTALLED)
	@touch $@

# Only their sources are wanted: no dependencies, nothing built, nothing run.
$(ECOSYSTEM)/.ready: tests/ecosystem/packages.txt $(READY)
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-compile --only-binary :all: \
		--upgrade --target $(ECOSYSTEM) --requirement $< || $(NOT_INSTALLED)
	@touch $@

$(LITELLM)/.ready: $(READY)
	@rm -rf $(LITELLM)
	@$(PIP) --target $(LITELLM) litellm || $(NOT_INSTALLED)
	@touch $@

# Peers have dependencies of their own, which need not agree with ours.
$(PEERS)/.ready: tests/benchmarks/peers/requirements.txt $(READY)
	@.ci/python -m venv --clear $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --requirement $< || $(NOT_INSTALLED)
	@touch $@

$(CHECKERS): $(READY)
	@$(PIP) --group typecheckers || $(NOT_INSTALLED)
	@touch $@

# Only mypy itself is another one: everything else is what the newest runs with.
$(OLDEST)/.ready: $(READY)
	@rm -rf $(OLDEST)
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --target $(OLDEST) \
		mypy==$(OLDEST_MYPY) || $(NOT_INSTALLED)
	@PYTHONPATH=$(OLDEST) $(BIN)/python -c 'from mypy.version import __version__ as it; assert it == "$(OLDEST_MYPY)", it'
	@touch $@
