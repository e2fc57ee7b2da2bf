# Everything here sets itself up: a Python 3.11+ is all that is needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
READY := $(VENV)/.ready
WORKERS ?= 2
CHECKED := nas search_spaces predictors benchmarks

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test lint clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make the virtual environment and install everything into it

$(INSTALLED): pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e .
	@touch $@

$(READY): $(INSTALLED)
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	@touch $@

quickstart: $(INSTALLED) ## search small networks for handwritten digits on this machine (minutes)
	$(BIN)/nas run quickstart $(if $(wildcard runs/quickstart/recipe.toml),--resume)
	@echo "Open the report: $(CURDIR)/runs/quickstart/report.html"

test: lint ## run every check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

lint: $(READY) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CHECKED)

clean: ## remove the virtual environment and all caches; runs/ is kept
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
