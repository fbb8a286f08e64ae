# Everything a newcomer or CI needs; `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BASE ?=
RUNS ?= 5
KILL_RUNS ?= 20
SEED ?= 1
JOBS ?= 2
RESULTS ?= .ropewalk/chaos.jsonl
MINUTES ?= 30
RATE ?= 100

.DEFAULT_GOAL := help
.PHONY: help install up demo check format test test-unit chaos soak guards bench down lock

help:  ## list these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(STAMP)  ## create .venv with everything, at the exact versions of requirements.txt

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

up: install  ## start a local Kafka and Postgres, with topics and tables
	$(BIN)/ropewalk up

demo: install  ## run the whole pipeline, kill parts of it, prove the result
	$(BIN)/ropewalk demo

check: install  ## formatter, linter, strict types, import contracts, contracts of messages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m ropewalk_schemas.export --check schemas/json
	$(BIN)/python -m ropewalk_schemas.compatibility $(BASE)

format: install  ## rewrite files as the formatter and the linter want them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: check  ## every check and every test, two files at a time, each with servers of its own
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-unit: install  ## the tests that need no servers
	$(BIN)/pytest tests/unit

chaos: install  ## every fault, on servers of its own, and the table; goes on where it was stopped
	$(BIN)/ropewalk chaos --seed $(SEED) --runs $(RUNS) --kill-runs $(KILL_RUNS) --jobs $(JOBS) \
	    --results $(RESULTS)

soak: install  ## half an hour of load and faults; memory, handles and lag must stay level
	$(BIN)/ropewalk soak --minutes $(MINUTES) --rate $(RATE) --seed $(SEED)

guards: install  ## remove each guard from a copy, and see that its test fails; docs/guards.md
	$(BIN)/python -m tests.guards

bench: install  ## measure our speed beside stock Faust and a hand-written loop
	$(BIN)/python -m benchmarks

down: install  ## stop what `make up` or `make demo` started; the data stays
	$(BIN)/ropewalk down

lock: install  ## renew requirements.txt within the ranges of pyproject.toml
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --upgrade --extra dev --strip-extras --unsafe-package ropewalk \
	    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file requirements.txt pyproject.toml
