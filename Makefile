# `make run` and `make test` set themselves up; they need Python >= 3.11 and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Most tests wait for a daemon, not for a core. A file's tests stay together: some share a daemon.
AT_ONCE := -n 3 --dist loadfile
PIP := $(BIN)/pip --disable-pip-version-check -q

.PHONY: run test test-slow test-all corpus check lint format bench bench-quick peers fuzz docs constraints clean

run: $(VENV)/run.stamp
	$(BIN)/hostd run --config hostd.toml

test: $(VENV)/dev.stamp
	$(BIN)/pytest $(AT_ONCE) -m "not slow"

test-slow: $(VENV)/dev.stamp
	$(BIN)/pytest -n 2 --dist loadfile -m slow $(ONLY)

test-all: $(VENV)/dev.stamp
	$(BIN)/pytest $(AT_ONCE)

check: lint test

lint: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python tools/typecheck_plugins.py
	$(BIN)/lint-imports
	$(BIN)/python tools/reference.py --check

format: $(VENV)/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Needs HOSTD_CORPUS, the folder of logs with their truth. RAISE=1 writes what came out better into the floor.
corpus: $(VENV)/dev.stamp
	$(BIN)/python -m tests.processors.scoreboard $(if $(RAISE),--raise)

bench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks

bench-quick: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks --quick $(ONLY)

# What the benchmarks `peers`, `reload` and `calls` compare hostd to, on Debian; into HOSTD_PEERS, or ~/.cache/hostd-peers.
peers:
	benchmarks/peers/install.sh

# Coverage-guided fuzzing of the processors that ship: all of them, or ONLY="syslog csv", for SECONDS each.
SECONDS ?= 60
fuzz: $(VENV)/dev.stamp
	$(BIN)/python -c 'import atheris' 2> /dev/null || $(PIP) install -e '.[fuzz]'
	$(BIN)/python -m tests.fuzz $(ONLY) --seconds $(SECONDS)

docs: $(VENV)/dev.stamp
	$(BIN)/python tools/reference.py

# The interpreter and the two lists of pinned packages make the environment; nothing is resolved at run time.
$(VENV)/run.stamp: constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hostd needs Python 3.11 or newer: make PYTHON=python3.12 run")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r constraints.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp constraints-dev.txt
	$(PIP) install --require-hashes -r constraints-dev.txt
	touch $@

# Needs network and uv: pip install uv.
constraints:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group lock pyproject.toml -o constraints.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group lock --extra dev pyproject.toml -o constraints-dev.txt

clean:
	rm -rf $(VENV) out state bench-results fuzz-corpus fuzz-found
