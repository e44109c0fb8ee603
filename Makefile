# make demo    sets up .venv, then runs the whole job on real prices: init → ingest → backtest → report
# make test    sets up what the tests need and runs them all
# make check   what CI runs: format, lint, types, import rule, documentation, tests
# make fix     formats, repairs what can be repaired, renews generated documentation
# make lock    renews requirements/*.lock (needs the network)
# make bench   prints the benchmarks of docs/benchmarks.md

# The first Python from 3.11 to 3.13 that can build a virtual environment.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	2>/dev/null && { echo $$python; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
WORKERS ?= auto

.PHONY: demo test check fix lock bench wheel clean specifications
.DEFAULT_GOAL := check

demo: $(VENV)/.run
	@$(BIN)/qfund demo

test: $(VENV)/.dev $(VENV)/.specifications
	@$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/make_cli.py --check
	@$(MAKE) --no-print-directory test

fix: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python docs/make_cli.py

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.store
	$(BIN)/python -m benchmarks.minutes
	$(BIN)/python -m benchmarks.ingest
	$(BIN)/python -m benchmarks.backtest

lock: $(VENV)/.dev
	$(PIP) uv
	for set in run dev bench; do \
	  groups=$$(case $$set in dev) echo "--group dev";; bench) echo "--group dev --group benchmarks";; esac); \
	  $(BIN)/uv pip compile pyproject.toml $$groups --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-emit-index-url --upgrade --quiet --output-file requirements/$$set.lock; \
	done

wheel: $(VENV)/.dev
	$(PIP) build
	$(BIN)/python -m build --outdir dist

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Each stamp says: the environment holds exactly this lock and this package, editable.
$(VENV)/.run $(VENV)/.dev $(VENV)/.bench: $(VENV)/.%: requirements/%.lock pyproject.toml | $(VENV)/.venv
	@echo "Installing what 'make $(MAKECMDGOALS)' needs into $(VENV) (once; a minute or two) …"
	@$(PIP) --require-hashes --requirement $<
	@$(PIP) --no-deps --editable .
	@touch $@

# Alpaca's published API descriptions: a wheel that is read by the tests, never installed, never committed.
specifications: $(VENV)/.specifications

$(VENV)/.specifications: requirements/specifications.txt | $(VENV)/.dev
	@$(BIN)/python -m pip --disable-pip-version-check download --quiet --no-deps --require-hashes \
	  --requirement $< --dest $(VENV)/specifications
	@touch $@

$(VENV)/.venv:
	@test -n "$(PYTHON)" || { echo "qfund needs Python 3.11, 3.12 or 3.13 with its venv module" \
	  "(Debian and Ubuntu: apt-get install python3-venv)."; exit 3; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@
