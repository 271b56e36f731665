# make demo    set up, fetch Census-income, run the main job, end with the trade-off table, a registered model and a page
# make test    set up, run the tests
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VARIANT ?= cpu
BIN := .venv/bin
READY := .venv/.ready-$(VARIANT)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

# Some machines forbid files of bytecode: each of the many processes that a test starts would compile the project anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup demo check test slow debug gpu docs site pictures figures lock audit clean

setup: $(READY)

# torchrec would bring the newest CUDA build of fbgemm whatever torch is there, and pip cannot leave one dependency out:
# torch comes first, by the resolver and with its own needs pinned, then the complete pinned list as it is. Compiling on
# all cores afterwards takes half of what pip's own compiling takes.
$(READY): pyproject.toml requirements/lock.txt requirements/$(VARIANT).txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gradops needs Python 3.11 or newer; make PYTHON=/path/to/it")'
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(PIP) --constraint requirements/lock.txt torch
	$(PIP) --no-deps --requirement requirements/lock.txt --requirement requirements/$(VARIANT).txt
	$(PIP) --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q -j 0 -x '/tests?/|py312_' .venv/lib || true
	$(BIN)/gradops doctor
	touch $@

demo: setup
	$(BIN)/gradops fetch census
	$(BIN)/gradops compare configs/census.toml
	$(BIN)/gradops report configs/census.toml

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.docs.links
	$(BIN)/hadolint docker/*.Dockerfile

test: setup
	$(BIN)/pytest

slow: setup
	$(BIN)/pytest -m slow

# Ten steps of everything on a few rows, in a folder of its own: the first thing to run after an edit.
debug: setup
	rm -rf debug
	MLFLOW_TRACKING_URI=sqlite:///debug/mlflow.db $(BIN)/gradops compare configs/debug.toml

# The first thing to run on a GPU machine, after `make setup VARIANT=cuda`: exactness, steps, an epoch, ranks; at most
# 8 minutes, no network. It takes the environment that is there: to set it up would bring that of the CPU.
gpu:
	@test -x $(BIN)/python || { echo 'There is no environment: run make setup VARIANT=cuda first.'; exit 1; }
	$(BIN)/python -m benchmarks.gpu

# docs/methods.md, from the methods' docstrings.
docs: setup
	$(BIN)/gradops methods > docs/methods.md

# The documents as a site in `site`; a dead link is an error. The variable silences an advertisement of the theme's.
site: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# The report's pages, photographed into docs/pictures; needs Chromium.
pictures: setup
	$(BIN)/python -m benchmarks.pictures

# The papers' small problems, drawn into docs/figures; minutes.
figures: setup
	$(BIN)/python -m benchmarks.figures

# CUDA packages are left out: torch brings the ones of its own build. The last line checks that the CUDA list resolves.
lock: setup
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --no-header --no-annotate --no-emit-index-url \
		--extra dev --group pyproject.toml:train --override requirements/overrides.txt pyproject.toml \
		| grep -vE '^(nvidia-|cuda-|triton)' > requirements/lock.txt.new
	mv requirements/lock.txt.new requirements/lock.txt
	$(BIN)/uv pip compile --quiet --python-version 3.11 --no-header requirements/lock.txt requirements/cuda.txt > /dev/null

# Known vulnerabilities of the pinned versions, from a database on the internet.
audit: setup
	$(BIN)/uv tool run pip-audit --disable-pip --no-deps -r requirements/lock.txt -r requirements/$(VARIANT).txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis debug site prepared runs mlruns mlartifacts mlflow.db*
