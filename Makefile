# Two commands do everything on a fresh machine: `make run` and `make test`.
#   PYTHON=/path/to/python3   make the environment from this interpreter
#   ARGS="seeds=32 ..."       options passed on by run, validate, calibrate, bench and others

PYTHON ?=
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
PINS := constraints.txt
INSTALL = -m pip install -qq --disable-pip-version-check

# The stamp names the checkout, so that an environment that was moved, half made or has lost its
# interpreter does not count as one.
HEALTHY := $(shell test "$$(cat $(STAMP) 2>/dev/null)" = "$(CURDIR)" && $(PY) -I -c "import pip" 2>/dev/null && echo yes)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run validate calibrate test launchers lint format bench bench-model stress figures pins clean new-venv

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

run: $(STAMP) ## the membership experiment, with changes as in ARGS="membership=forge seeds=32"
	@$(PY) -m experiments.run $(ARGS)

validate: $(STAMP) ## play the past again, score it and write docs/validation.md
	@$(PY) -m experiments.validate $(ARGS)

test: lint ## lint, then every test
	@$(PY) -m pytest -n 2

launchers: $(STAMP) ## install the extras for many machines, and test them: two Ray nodes, submitit
	@$(PY) $(INSTALL) --no-build-isolation -c $(PINS) -e ".[test,ray,slurm]"
	@$(PY) $(INSTALL) --no-deps -c $(PINS) hydra-ray-launcher
	@$(PY) -m pytest -p no:xdist tests/test_launchers.py

lint: $(STAMP) ## style, formatting and types
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --check --quiet . \
		|| { echo "The files above are not formatted: run 'make format'." >&2; exit 1; }
	@$(PY) -m mypy --no-error-summary

format: $(STAMP) ## put the code into the house format
	@$(PY) -m ruff check --quiet --fix .
	@$(PY) -m ruff format --quiet .

bench: $(STAMP) ## time the market core against other solvers, quicker with ARGS="--quick"
	@$(PY) -m benchmarks $(ARGS)

bench-model: $(STAMP) ## time a month and a run of the whole model, quicker with ARGS="--quick"
	@$(PY) -m benchmarks.model $(ARGS)

stress: $(STAMP) ## clear 100,000 wild markets, or ARGS="--markets 300", and check them
	@$(PY) -m benchmarks.stress $(ARGS)

figures: $(STAMP) ## draw the gallery (docs/gallery.md) from the latest saved tables of all experiments
	@$(PY) -m experiments.gallery $(ARGS)

calibrate: $(STAMP) ## estimate behaviour on past episodes, as ARGS="--budget 4000 --seed 0"
	@$(PY) -m experiments.calibrate $(ARGS)

pins: ## rewrite constraints.txt with the newest versions pyproject.toml allows
	@rm -rf build/pins
	@python=$$(PYTHON="$(PYTHON)" sh .ci/find-python) && "$$python" -m venv build/pins
	@build/pins/bin/python $(INSTALL) --upgrade setuptools wheel
	@build/pins/bin/python $(INSTALL) --no-build-isolation -e ".[test,ray,slurm]"
	@build/pins/bin/python $(INSTALL) --no-deps hydra-ray-launcher
	@{ grep '^#' $(PINS); build/pins/bin/python -m pip freeze --all --exclude-editable --exclude pip; } \
		> build/pins/$(PINS)
	@mv build/pins/$(PINS) $(PINS)
	@rm -rf build/pins

clean: ## remove the environment, caches and build leftovers, never results
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find abm experiments tests benchmarks -type d -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# While it installs there is no stamp: whatever interrupts it, the next call starts afresh.
$(STAMP): pyproject.toml $(PINS) $(if $(HEALTHY),,new-venv)
	@rm -f $@
	@echo "Installing into $(VENV) (a minute or two, only when the requirements change)."
	@{ $(PY) $(INSTALL) -c $(PINS) setuptools wheel \
		&& $(PY) $(INSTALL) --no-build-isolation -c $(PINS) -e ".[test]"; } \
		|| { echo "The installation failed, see above: check the network, then call make again." >&2; exit 1; }
	@echo "$(CURDIR)" > $@

# The old environment goes first: an activated one would otherwise be found and built upon.
new-venv:
	@rm -rf $(VENV)
	@python=$$(PYTHON="$(PYTHON)" sh .ci/find-python) && "$$python" -m venv $(VENV)
