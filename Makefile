# What a newcomer needs: make demo, make test. Everything is set up at the first call, in .venv.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Compiled once also where the environment says otherwise: dozens of processes are started from here.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest

# make demo SECONDS=120 MARKET=recorded:FOLDER
MARKET ?= synthetic
SECONDS ?=
ARGS ?=

# Any of these will do, the first that is new enough; make PYTHON=/path/to/python says which.
PYTHON ?=
PYTHONS := $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3

.PHONY: help demo test lint types format migrate clean

help: ## Show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.for-running ## Run the whole system on embedded parts (SECONDS=120, MARKET=recorded:FOLDER)
	@$(BIN)/whalestack demo --market "$(MARKET)" $(if $(SECONDS),--seconds "$(SECONDS)") $(ARGS)

# Tests that start whole systems run last and alone: beside others, two cores are too few for them.
test: $(VENV)/.for-working ## Run every test
	@$(PYTEST) -n 2 --dist loadfile -m "not pipeline" $(ARGS)
	@$(PYTEST) -m pipeline $(ARGS) || test $$? -eq 5

lint: $(VENV)/.for-working ## Look for mistakes and untidiness
	@$(BIN)/ruff check .

types: $(VENV)/.for-working ## Check every type
	@$(BIN)/mypy

format: $(VENV)/.for-working ## Lay out the code as the others do
	@$(BIN)/ruff format .

migrate: $(VENV)/.for-running ## Bring the database of .env to the newest schema
	@$(BIN)/whalestack db upgrade

clean: ## Remove what was made here, .env excepted
	rm -rf $(VENV) .run build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@for python in $(PYTHONS); do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found="$$python"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "whalestack needs Python 3.11 or newer and found none: install it (Debian: apt install python3.11 python3.11-venv) or say make PYTHON=/path/to/python3.11" >&2; \
		exit 1; \
	fi; \
	echo "making $(VENV) with $$($$found --version) ..."; \
	if ! "$$found" -m venv $(VENV); then \
		rm -rf $(VENV); \
		echo "$$found cannot make a virtual environment: install its venv package (Debian: apt install python3-venv)" >&2; \
		exit 1; \
	fi

# Stamps: a second call starts at once, a changed requirement is installed.
$(VENV)/.for-running: requirements.txt pyproject.toml | $(BIN)/python
	@echo "installing what whalestack runs with ..."
	@$(PIP) install -r requirements.txt
	@PYTHONWARNINGS=ignore $(PIP) install --no-deps --editable .
	@touch $@

$(VENV)/.for-working: requirements-dev.txt requirements.txt pyproject.toml $(VENV)/.for-running
	@echo "installing what the tests need ..."
	@$(PIP) install -r requirements-dev.txt
	@touch $@
