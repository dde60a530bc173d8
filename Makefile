# Everything a newcomer types. Each target sets up what it needs and says what it does.
#   make demo         a real call through a real Asterisk, with a readable timeline
#   make test         all tests: unit, replay, end to end on the laboratory
#   make check        linters, types, import table, security linter, dialplan, audit where its data can be had
#   make audit        known vulnerabilities of the locked dependencies (needs the network)
#   make test-amqp    the end-to-end suite with the bridge behind a message broker
#   make test-dialect the end-to-end suite with a bridge that calls everything otherwise
#   make lab          the laboratory until Ctrl-C
#   make bench        side-by-side measurements
#   make fuzz         a million mutated frames through the codec (FUZZ="--frames N --seconds S --seed X")
#   make bench-load   events in, messages out, for 5 minutes (LOAD="--rate N --seconds N --ceiling")
#   make test-faults  200 faults at random moments (FAULTS=n SEED=n BRIDGE=tcp|amqp|both ONLY=kind)
#   make soak         real calls, two a second, for half an hour (MINUTES=n SEED=n)
#   make coverage     the end-to-end suite, then the table of messages and tests in docs/protocol.md
#   make test-docker  the end-to-end suite on containers (installs an engine where none answers)
# The end-to-end suite runs on LABS laboratories at once (2; LABS=0: one after another, in this process).
# LAB=native|docker chooses the laboratory; without it: docker if an engine answers, else native.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
PYTEST := $(BIN)/pytest
LABS   ?= 2
E2E    := $(PYTEST) -q -n $(LABS) tests/e2e

.PHONY: help venv check audit demo test test-unit test-e2e test-docker test-amqp test-dialect lab bench fuzz coverage lock docs clean
help:
	@sed -n 's/^#   //p' Makefile

venv: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@echo "== virtual environment in $(VENV)/ (locked dependencies)"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 15) else f"Python 3.11 to 3.14 is needed, this is {v[0]}.{v[1]}: use make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

check: venv
	@echo "== ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@echo "== mypy --strict"
	@$(BIN)/mypy
	@echo "== import table"
	@$(BIN)/lint-imports --no-cache
	@echo "== bandit"
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive connector docker
	@echo "== dialplan"
	@$(BIN)/python tests/lint_dialplan.py
	@echo "== pip-audit"
	@$(BIN)/python tests/audit.py || [ $$? -eq 2 ]

# Exit status 0: none known; 1: some are; 2: nobody could be asked.
audit: venv
	@$(BIN)/python tests/audit.py

demo: venv
	@$(BIN)/connector demo

test: venv
	@echo "== unit and replay tests"
	@$(PYTEST) -q tests/unit tests/replay
	@echo "== end-to-end tests on the laboratory"
	@$(E2E)

test-unit: venv
	@$(PYTEST) -q tests/unit tests/replay

test-e2e: venv
	@$(E2E)

test-amqp: venv
	@BRIDGE=amqp $(E2E)

test-dialect: venv
	@DIALECT=renamed $(E2E)

test-docker: venv
	@tests/docker/run.sh

lab: venv
	@$(BIN)/connector lab up --foreground

bench: venv
	@$(PYTEST) -q -s tests/bench

.PHONY: bench-load test-faults soak
bench-load: venv
	@$(BIN)/python tests/bench/load.py $(LOAD)

FAULTS ?= 200
test-faults: venv
	@$(BIN)/python tests/faults/campaign.py --faults $(FAULTS) $(if $(SEED),--seed $(SEED)) $(if $(BRIDGE),--bridge $(BRIDGE)) $(if $(ONLY),--only $(ONLY))

soak: venv
	@$(BIN)/python tests/faults/soak.py $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

.PHONY: fuzz coverage
fuzz: venv
	@$(BIN)/python tests/bench/fuzz.py $(FUZZ)

coverage: venv
	@SEEN=1 $(E2E)
	@$(BIN)/python -m connector.bridge.docs

docs: venv
	@$(BIN)/python -m connector.bridge.docs
	@$(BIN)/python -m connector.settings_docs
	@$(BIN)/python -m connector.site.tree

# New pins: run it on the oldest supported Python, look at the difference, commit.
lock:
	@$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --allow-unsafe --extra desk --extra desktop --extra lab --extra dev --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info
