VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-oldest lint docs check-site bench clean

demo: $(INSTALLED)
	$(BIN)/python examples/demo.py

# One process for each core, with one thread each; a document or a module of tests is not divided.
PARALLEL := --numprocesses auto --maxprocesses 8 --dist loadfile
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL)

# The oldest versions that pyproject.toml promises. The torch of 2024 comes with CUDA: for another
# one, as for the CPU, call make test-oldest TORCH=2.13.0.
TORCH := 2.4.0
test-oldest:
	python3 -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install torch==$(TORCH)
	.venv-oldest/bin/python -m pip install --constraint constraints-oldest.txt --editable ".[test]"
	OMP_NUM_THREADS=1 .venv-oldest/bin/python -m pytest $(PARALLEL)

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(INSTALLED)
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

# needs Chromium and ChromeDriver
check-site: docs
	$(BIN)/python -m pip install --constraint constraints.txt selenium
	$(BIN)/python docs/check_site.py

# The larger data sets lie in the folder that SKVAE_DATA names. same.py needs an older commit, and
# faults.py takes more than half an hour.
BENCHMARKS := $(filter-out benchmarks/parts.py benchmarks/plain.py benchmarks/same.py benchmarks/faults.py, $(wildcard benchmarks/*.py))
bench: $(INSTALLED)
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[peers]"
	@set -e; for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python $$script; done

clean:
	rm -rf $(VENV) build dist docs/_build docs/generated docs/auto_examples
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

# The package in editable form, beside the tested versions of all that it needs.
$(INSTALLED): pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[dev]"
	touch $@
