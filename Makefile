# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
KERNEL_TESTS := $(patsubst %,tests/mfm/simulation/test_%.py,triton triton_models triton_compiles golden)

.PHONY: demo test test-slow test-kernels check format bench clean

demo: $(INSTALLED)
	$(BIN)/mfmfit demo

# One thread for linear algebra in each of two workers: more would wait for each other.
test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow and not gpu"

test-slow: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not gpu"

# The GPU kernels without a GPU, in Triton's interpreter, and compiled for several GPUs: a download of 200 MB, a minute.
test-kernels: $(INSTALLED)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[kernels]"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -k triton $(KERNEL_TESTS)

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED)
	$(BIN)/python scripts/bench_simulation.py

# torch first and by itself: what is installed after it then finds the pinned version and leaves it alone.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("mfmfit needs Python 3.11 or later, found " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
