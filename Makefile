# Every verb sets up what it needs: an environment in .venv, from the lock, reused while the lock is unchanged.
# `make -s` says less. `make PYTHON=/path/to/python3.12 book` chooses the interpreter.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
READY := .venv/ready
RIVALS := .venv/bench/ready
PAGE := _build/html/index.html
SEED ?= 0

# All that the pages are made from, summed up: what a build itself writes into book/api is left out.
SOURCES = find Makefile _config.yml requirements.txt book vae_notes -type f ! -path '*/__pycache__/*' \
	! \( -path 'book/api/*.rst' ! -name index.rst \) -exec cksum {} + | sort
# From nothing, for a page that is not built anew would not warn again. The sum is that of the
# beginning, and is kept only if all went well.
BUILD = rm -rf _build && mkdir _build && $(SOURCES) >_build/begun \
	&& $(BIN)/jupyter-book build book -W -n --keep-going -q >/dev/null && mv _build/begun _build/sources

# What a reader's shell may hold must not reach the stored outputs.
unexport VAE_NOTES_SEED VAE_NOTES_CLAIMS MPLBACKEND PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help book test test-oldest test-newest notebooks claims clinic bench serve lint format lock clean

help:  ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

book: $(READY)  ## build the pages and name the one to open
	@$(BUILD)
	@echo "Open file://$(CURDIR)/$(PAGE)"

test: $(READY)  ## execute and compare every notebook, run every test, on pages built if they are old
	@test -f $(PAGE) && $(SOURCES) | cmp -s - _build/sources || { $(BUILD); }
	@$(BIN)/python -m pytest -n 2 --dist loadfile --doctest-modules \
		--nbval --nbval-current-env --nbval-cell-timeout 600 tests vae_notes book/*.ipynb

test-oldest: $(READY)  ## run the package's tests with the oldest versions that pyproject.toml allows
	@$(call tested_with,oldest,lowest-direct)

test-newest: $(READY)  ## run the package's tests with the newest releases
	@$(call tested_with,newest,highest)

notebooks: $(READY)  ## execute the notebooks whose fingerprint is old
	@$(BIN)/python book/execute.py --stale

claims: $(READY)  ## list every claim with the seeds that support it, from base seed SEED=n
	@$(BIN)/python book/execute.py --seed $(SEED)

clinic: $(RIVALS)  ## try the doctor on every broken and every healthy model, and print the confusion table
	@$(BIN)/python tests/clinic/confusion.py --torch $(<D)/bin/python

bench: $(RIVALS)  ## time fit and sweep against Keras, PyTorch, JAX and BLAS; leave the machine alone meanwhile
	@$(BIN)/python benchmarks/bench.py --rivals $(<D)/bin/python

serve: book  ## build the pages and serve them on http://localhost:8000
	@$(BIN)/python -m http.server 8000 --bind localhost --directory _build/html

lint: $(READY)  ## check style, format and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: $(READY)  ## put style and format right, notebooks included
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

lock: $(READY)  ## compile requirements.txt from pyproject.toml
	@$(BIN)/python .ci/lock.py

clean:  ## remove what was built; the environment stays
	@find book/api -name '*.rst' ! -name index.rst -delete
	@rm -rf _build build .pytest_cache .mypy_cache .hypothesis .coverage
	@find . -path ./.venv -prune -o \( -name __pycache__ -o -name .ruff_cache -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

# The package in an environment of its own, then the tools of its tests, which may move none of its versions.
TOOLS := pytest pytest-xdist hypothesis distributed beautifulsoup4 pandas plotnine statsmodels
define tested_with
	$(BIN)/uv venv -q --clear --python $(BIN)/python .venv/$(1) \
		&& $(BIN)/uv pip install -q --python .venv/$(1) --resolution $(2) '.[tensorflow]' \
		&& $(BIN)/uv pip freeze -q --python .venv/$(1) --exclude-editable | grep -v '^vae-notes' >.venv/$(1)/versions.txt \
		&& $(BIN)/uv pip install -q --python .venv/$(1) --constraint .venv/$(1)/versions.txt $(TOOLS) \
		&& grep -E '^(numpy|scipy|tensorflow|keras|matplotlib|scikit-learn|pillow)==' .venv/$(1)/versions.txt | paste -s -d' ' \
		&& env -u VAE_NOTES_REQUIRE_BROWSER .venv/$(1)/bin/python -m pytest -q -n 2 --dist loadfile -p no:cacheprovider -W ignore::DeprecationWarning \
			-W ignore::FutureWarning --ignore tests/book tests
endef

# PyTorch and JAX stay out of the environment that the book is built and tested in. What the package needs
# without TensorFlow goes with them, so that models of PyTorch can be diagnosed there.
$(RIVALS): $(READY)
	@echo "Installing PyTorch and JAX in $(@D), for the clinic and the benchmark only."
	@$(BIN)/python -m venv $(@D)
	@$(BIN)/python -c 'import tomllib; of = tomllib.load(open("pyproject.toml", "rb"))["project"]; print(*map(repr, of["dependencies"] + of["optional-dependencies"]["bench"]))' \
		| xargs $(@D)/bin/python -m pip install -q --disable-pip-version-check \
		&& touch $@ || echo "They could not be installed: their rows are left out."

$(READY): requirements.txt pyproject.toml
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
			|| { echo "VAE Notes needs Python 3.11, 3.12 or 3.13: install one of them, then run make again (or name it: make PYTHON=/path/to/python3.12 book)." >&2; exit 1; }; \
		$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
			|| { echo "$(PYTHON) lacks the venv module: install it (Debian and Ubuntu: apt install python3-venv), then run make again." >&2; exit 1; }; \
		echo "Making the environment in .venv with $$($(PYTHON) --version)."; \
		$(PYTHON) -m venv --clear .venv; }
	@echo "Installing the packages of requirements.txt (a minute or two, 2.6 GB; once)."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)
