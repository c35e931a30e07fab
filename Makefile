# make demo needs Python >= 3.11 and nothing else; everything is installed into .venv.
#   make demo PYTHON=python3.12     to choose the interpreter

PYTHON := $(or $(PYTHON),$(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
DEMO_READY := $(VENV)/.demo-ready
DEV_READY := $(VENV)/.dev-ready

.DEFAULT_GOAL := help
.PHONY: help demo test lint format docs docs-check bench clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(DEMO_READY)  ## train on real data, show what was learned; model and index go to demo-model/ and demo-index/
	@$(BIN)/pintext demo --out demo-model --index demo-index --overwrite

test: lint  ## every check: lint, types, layers, tests
	@tools/system_packages.sh
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(DEV_READY)  ## style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV_READY)  ## rewrite the code in the project's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(DEV_READY)  ## write the generated parts of docs/ again
	$(BIN)/python tools/make_reference.py

docs-check: $(DEV_READY)  ## run every example in README and docs; compare the generated parts
	$(BIN)/python -m pytest tests/test_docs.py

bench: $(DEV_READY)  ## measure the speed of training and encoding; more in benchmarks/README.md
	$(BIN)/python benchmarks/training_speed.py
	$(BIN)/python benchmarks/encode_speed.py

clean:  ## remove what make has made, .venv included
	rm -rf $(VENV) demo-model demo-model.training demo-index build dist artifacts
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found; name it: make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(DEMO_READY): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing PinText into $(VENV) ..."
	@$(PIP) -e '.[demo]'
	@touch $@

$(DEV_READY): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing PinText and its development tools into $(VENV); a few minutes the first time ..."
	@$(PIP) -e '.[dev]'
	@touch $@ $(DEMO_READY)
