# Headrace. `make` alone lists what there is. Everything runs in .venv, which `make env` makes from requirements.lock.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env run test test-faults lint format bench bench-learning soak docs fuzz audit lock clean

VENV := .venv
BIN := $(VENV)/bin
# TORCH_BACKEND=cpu leaves out the CUDA packages: see README. A stamp for each choice, so that changing it installs anew.
TORCH_BACKEND ?=
STAMP := $(VENV)/.installed-$(or $(TORCH_BACKEND),locked)
CUDA_PACKAGES := torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+
# The first interpreter that runs and is new enough (a name on PATH may be a version manager's empty shell).
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
# How many parts of the tests run beside each other: two keep two cores busy while tests wait for brokers and processes.
WORKERS ?= 2
# Environments of other libraries, which benchmarks compare with.
PEERS := .venv-peers/.installed .venv-deep-river/.installed
# What follows on the command line of a target's program: make run ARGS="--exit"
ARGS ?=

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' Makefile

env: $(STAMP) ## make .venv and install exactly what requirements.lock pins

run: $(STAMP) ## run the demo: a real stream is learned and served until Ctrl-C
	@$(BIN)/headrace demo $(ARGS)

test: $(STAMP) ## run the whole test suite, Kafka broker included (WORKERS=1: one test after the other)
	@$(BIN)/python -m pytest $(if $(filter-out 1,$(WORKERS)),-n $(WORKERS) --dist loadgroup --no-loadscope-reorder) $(ARGS)

test-faults: $(STAMP) ## run the table of failures, then kill trainers a thousand times (ARGS="--cycles 1000 --seed N")
	@$(BIN)/python -m benchmarks.failures
	@$(BIN)/python -m benchmarks.faults $(ARGS)

lint: $(STAMP) ## check style, types and import rules; changes nothing
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(STAMP) ## put the code into the style that lint asks for
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMP) $(PEERS) .venv-quix-streams/.installed .venv-serving/.installed ## measure, and keep the results in benchmarks/results/
	@$(BIN)/python -m benchmarks $(ARGS)

bench-learning: $(STAMP) $(PEERS) ## compare learning with other libraries (ARGS="--help")
	@$(BIN)/python -m benchmarks.learning $(ARGS)

soak: $(STAMP) ## run for an hour (ARGS="--minutes 60") while the broker restarts, and keep what grew, got lost or failed
	@$(BIN)/python -m benchmarks.soak $(ARGS)

fuzz: $(STAMP) ## fuzz every decoder of bytes and the whole API (ARGS="--seconds 60" for each)
	@$(BIN)/python -m tests.fuzz $(ARGS)

audit: $(STAMP) ## look for published vulnerabilities in what requirements.lock pins (needs pypi.org)
	@$(BIN)/python -m tests.audit $(ARGS)

docs: $(STAMP) ## check the documents: links, anchors, and the names that they promise
	@$(BIN)/python -m pytest tests/test_docs.py $(ARGS)

lock: $(BIN)/uv ## renew requirements.lock from pyproject.toml (ARGS=--upgrade for the newest versions)
	@$(BIN)/uv pip compile pyproject.toml --output-file requirements.lock --quiet --universal --python-version 3.11 \
		--generate-hashes --group dev --all-extras --no-header $(ARGS)

clean: ## delete the environment and every cache, but no data
	@rm -rf $(VENV) $(VENV)-* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

# uv first, by pip, from the lock's own entry for it, so that its hash is checked like all the others.
$(BIN)/uv:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found on PATH. Install one, or name it:" \
		"make env PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Python could not make an environment. On Debian and Ubuntu:" \
		"apt-get install python3-venv" >&2; exit 1; }
	@awk '/^uv==/{found = 1} found{print} found && !/\\$$/{exit}' requirements.lock > $(VENV)/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock

# Each in a group of its own. What cannot be installed is said, and shown as missing in its tables.
.venv-peers/.installed: GROUP := peers
.venv-deep-river/.installed: GROUP := peers-deep-river
.venv-quix-streams/.installed: GROUP := peers-quix-streams
.venv-serving/.installed: GROUP := peers-serving
.venv-peers/.installed .venv-deep-river/.installed .venv-quix-streams/.installed .venv-serving/.installed: pyproject.toml | $(STAMP)
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(@D)
	@$(BIN)/uv pip install --python $(@D)/bin/python --group $(GROUP) && touch $@ || \
		{ rm -rf $(@D); echo "The group $(GROUP) could not be installed: its learners will be missing." >&2; }

# The project itself goes in last, editable and without build isolation, so that nothing unpinned is ever fetched.
$(STAMP): requirements.lock pyproject.toml | $(BIN)/uv
	@rm -f $(VENV)/.installed-*
ifeq ($(TORCH_BACKEND),)
	@$(BIN)/uv pip sync --python $(BIN)/python --require-hashes requirements.lock
else
	@awk '/^[^ #]/{skip = /^($(CUDA_PACKAGES))==/} !skip' requirements.lock > $(VENV)/without-torch.lock
	@$(BIN)/uv pip sync --python $(BIN)/python --require-hashes $(VENV)/without-torch.lock
	@$(BIN)/uv pip install --python $(BIN)/python --no-deps --torch-backend=$(TORCH_BACKEND) \
		"torch==$$(sed -n 's/^torch==\([^ ;]*\).*/\1/p' requirements.lock)"
endif
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable .
	@touch $@
