# The only door: everything a person or a machine does with this repository is a target here.

# The system's own Python first: distributions build it with a profile, pyenv does not unless asked,
# and everything takes longer. It must be able to make environments, and have its headers.
PYTHON ?= $(shell for p in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import ensurepip, os, sys, sysconfig as s; sys.exit(sys.version_info < (3, 11) or not \
	os.path.exists(s.get_paths()["include"] + "/Python.h"))' 2>/dev/null && echo $$p && exit; done; \
	for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && exit; done)
BIN := .venv/bin
READY := .venv/setup.stamp
PACKAGES := $(sort $(wildcard libs/*/pyproject.toml services/*/pyproject.toml))
TESTS ?= tests
# Tests wait for servers more than they compute: more of them at a time than there are cores. In
# the order of their folders: files with few tests, which take longest, are not left for the end.
WORKERS ?= 4
NAME ?=
SEEDS ?= 200
SEED ?=
SECONDS ?= 120

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo up down doctor test check fix simulate chaos bench native schemas migrate lock

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv from the locked dependencies and fetch Kafka

demo: $(READY) ## run the demonstration: servers, services, triggers, a failure and its recovery
	@$(BIN)/perdure demo

up: $(READY) ## start servers and services and leave them running
	@$(BIN)/perdure up --detach

down: $(READY) ## stop what `make up` started
	@$(BIN)/perdure down

doctor: $(READY) ## say what is missing or wrong on this machine
	@$(BIN)/perdure doctor

test: $(READY) ## run the tests against real servers (TESTS=tests/unit for some)
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

check: $(READY) ## check style, types, imports, generated files and house rules
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/basedpyright --level error
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m perdure_contracts.schemas --check schemas
	@$(BIN)/python -m perdure_engine.documents --check .
	@$(BIN)/python -m perdure_recovery.document --check .
	@$(BIN)/python -m perdure_scheduler.document --check .
	@$(BIN)/python -m pytest -q tests/tidy

fix: $(READY) ## repair what the style checks can repair
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format --quiet

simulate: $(READY) ## run the whole platform under faults: SEEDS=n of them, or SEED=k with its trace
	@PYTHONPATH=tests/support $(BIN)/python -m simulation --seeds $(SEEDS) $(if $(SEED),--seed $(SEED))

chaos: $(READY) ## kill, stop and slow down real servers under load for SECONDS=120 (SEED=k)
	@PYTHONPATH=tests/support $(BIN)/python -m chaos --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

bench: $(READY) ## run the benchmarks (NAME=engine for one, QUICK=1 for a short look)
	@$(BIN)/python -m bench $(NAME)

native: $(READY) ## compile the hot modules that were changed, if there is a C compiler
	@$(BIN)/python -m perdure_common.native_build

schemas: $(READY) ## generate schemas/ and docs/nodes.md from the contracts and the nodes
	@$(BIN)/python -m perdure_contracts.schemas schemas
	@$(BIN)/python -m perdure_engine.documents .
	@$(BIN)/python -m perdure_recovery.document .
	@$(BIN)/python -m perdure_scheduler.document .

migrate: $(READY) ## bring the database to the newest schema
	@$(BIN)/perdure migrate

# Versions and hashes, without saying where they come from: that is each machine's own business.
lock: $(READY) ## write requirements.lock anew from the pyproject files
	@$(BIN)/uv lock --quiet
	@$(BIN)/uv export --quiet --frozen --all-groups --no-emit-workspace --no-header \
		--no-annotate --no-emit-index-url --no-emit-find-links --output-file requirements.lock

# pip fetches uv (its version and hashes stand in the lock file), uv does the rest, faster.
# Nothing unpinned is fetched: the packages of the workspace are built by the locked uv_build.
$(READY): requirements.lock $(PACKAGES)
	@test -n "$(PYTHON)" || { echo "perdure needs Python 3.11 or newer; install it, or name it:" \
		"make PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "Python cannot make a virtual" \
		"environment; install its venv module (python3-venv on Debian and Ubuntu)."; exit 1; }
	@echo "Installing the Python packages of requirements.lock into .venv"
	@awk '/^uv==/ { on = 1 } on { print } on && !/\\$$/ { exit }' requirements.lock > .venv/uv.txt
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement .venv/uv.txt
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes \
		requirements.lock
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation \
		$(foreach package,$(PACKAGES),--editable $(dir $(package)))
	@$(BIN)/python -m compileall -q libs services
	@echo "Fetching Apache Kafka, and compiling the hot modules if there is a C compiler" \
		"(once per machine)"
	@$(BIN)/python -m perdure_common.native_build & compiling=$$!; \
		$(BIN)/python -m perdure_common.embedded fetch; fetched=$$?; \
		wait $$compiling && exit $$fetched
	@touch $@
