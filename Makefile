# make demo   sets everything up, trains on photographs, restores others, and says where the pictures are
# make test   sets everything up and runs the test suite, on two cores
# make test-fast  its quick tests, under a minute on two cores
# make coverage   the suite, and which lines of the package it runs: at least 95 % of them
# make test-napari  the plugin of napari in a real one, in an environment of its own (.venv-napari); without a screen
#             it takes Xvfb (Debian: xvfb, libegl1, libxcb-cursor0, libxkbcommon-x11-0)
# make fuzz   the suite's damaged files, many more of them (some minutes)
# make check  lint, format and types
# make site   builds the documentation into site/
# make install  sets up .venv with the command indi, and nothing more
#
# TORCH_INDEX=URL takes torch from another package index: on Linux without a GPU the index for CPU builds
# that PyTorch's installation page names saves several GB. TORCH chooses the version.

PYTHON ?= python3
TORCH ?= torch==2.13.0
TORCH_INDEX ?=

VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-fast test-napari coverage slow fuzz check format site install clean

demo: $(VENV)/.demo
	$(BIN)/python examples/demo.py

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-fast: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m fast --numprocesses 2 --dist loadfile

# Warnings of napari's own are not ours. What needs no napari is tested by `make test` too, where warnings are errors.
test-napari: $(VENV)-napari/.napari
	$(if $(DISPLAY)$(filter-out Linux,$(shell uname)),,xvfb-run --auto-servernum) $(VENV)-napari/bin/python -m pytest -W ignore tests/napari

coverage: $(VENV)/.dev
	$(BIN)/coverage erase
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest --numprocesses 2 --dist loadfile
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

fuzz: $(VENV)/.dev
	INDI_FUZZ=1000 $(BIN)/python -m pytest --timeout 3600 tests/test_fuzz.py

check: $(VENV)/.dev
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

site: $(VENV)/.dev
	$(BIN)/sphinx-build --quiet --fail-on-warning docs site

install: $(VENV)/.torch
	$(BIN)/pip install --quiet --editable . "$(TORCH)"

# torch comes first and stays pinned: what depends on it could otherwise replace it by another build. pip is renewed,
# as Python 3.11 and 3.12 bring one that knows no groups of dependencies (PEP 735).
$(VENV)/.torch:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "indi needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)"
	touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	$(BIN)/pip install --quiet --editable '.[demo]' "$(TORCH)"
	touch $@

$(VENV)-napari/.napari: pyproject.toml
	$(MAKE) VENV=$(VENV)-napari $(VENV)-napari/.torch
	$(VENV)-napari/bin/pip install --quiet --editable '.[cluster,napari]' PySide6_Essentials pytest pytest-timeout pyyaml \
	    "$(TORCH)"
	touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	$(BIN)/pip install --quiet --group dev --editable . "$(TORCH)"
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-napari site demo dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
