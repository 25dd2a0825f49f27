# `make run` and `make test` work on a fresh clone: they need Python 3.11 or newer, and make.

# The first interpreter that is new enough; give your own with `make PYTHON=/path/to/python`.
PYTHON ?= $(shell for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$candidate && break; done)

# Another version, for the test that a simulation does not depend on it; where there is none, that test is left out.
MINOR := import sys; print(sys.version_info[1])
OTHER_PYTHON ?= $(shell for candidate in python3.14 python3.13 python3.12 python3.11 \
	$(sort $(wildcard $(HOME)/.pyenv/versions/3.1[1-9].*/bin/python3)); do \
	$$candidate -c 'import ensurepip' 2>/dev/null \
	&& test "$$($$candidate -c '$(MINOR)')" != "$$($(PYTHON) -c '$(MINOR)')" \
	&& echo $$candidate && break; done)

# Two locks say which version of everything is installed, with the hash of each file: what the server needs, in
# docker/requirements.txt (the image is made of it, too), and all that development needs, in tests/requirements.txt.
# `make lock` writes them from pyproject.toml. `make run` installs the first alone, everything else the second.
VENV   := .venv
BIN    := $(VENV)/bin
SERVER := $(VENV)/.installed
STAMP  := $(VENV)/.installed-dev
OTHER  := $(if $(OTHER_PYTHON),.venv-other/.installed)
PIP    := -m pip install --disable-pip-version-check --require-hashes --requirement
ITSELF := -m pip install --disable-pip-version-check --quiet --no-deps --editable .

WORKERS ?= 2
SEEDS   ?= 200
NODES   ?= 5
OPERATIONS ?= 100000
KILLS   ?= 200
ROW ?= write, batches of 100
FUZZ_SECONDS ?= 300
UNICODE ?= /usr/share/unicode/UnicodeData.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run test unit cluster scenarios chaos fuzz check format lint types bench bench-gateway bench-batch bench-engine bench-growth bench-profile bench-idle bench-memory bench-queue bench-restart bench-scan bench-stalls load-unicode crash-matrix crash-kill simulate clean

help: ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

setup: $(STAMP) ## Create .venv and install all that development needs, only when that changed

$(SERVER): pyproject.toml docker/requirements.txt
	@test -n "$(PYTHON)" || { \
		echo "ringkv needs Python 3.11 or newer, and none was found; name one: make PYTHON=..." >&2; \
		exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "ringkv needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)" >&2; \
		exit 1; }
	@echo "Installing the server and what it needs into $(VENV), once ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python $(PIP) docker/requirements.txt
	@$(BIN)/python $(ITSELF)
	@touch $@

$(STAMP): $(SERVER) tests/requirements.txt
	@echo "Installing what development needs into $(VENV), once: some 600 MB ..."
	@$(BIN)/python $(PIP) tests/requirements.txt
	@touch $@

.venv-other/.installed: pyproject.toml docker/requirements.txt
	@test -x .venv-other/bin/python || $(OTHER_PYTHON) -m venv .venv-other
	@.venv-other/bin/python $(PIP) docker/requirements.txt --quiet
	@.venv-other/bin/python $(ITSELF)
	@touch $@

run: $(SERVER) ## Start a cluster on loopback in the foreground; Ctrl-C stops it (options: UP="--nodes 5")
	@$(BIN)/ringkv up $(UP)

# An event loop that hangs while it is closed takes no signal, so a thread ends the worker that runs it.
test: $(STAMP) $(OTHER) ## Run the whole test suite
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -o timeout_method=thread -m "not cluster"
	$(BIN)/python -m pytest -m "cluster and not chaos"

unit: $(STAMP) ## Run the quick tests
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup -m "not cluster and not slow"

cluster: $(STAMP) ## Run the tests that start and kill real nodes
	$(BIN)/python -m pytest -m "cluster and not chaos"

.PHONY: docker-demo docker-test docker-lint
docker-demo: $(STAMP) ## Build the image, and show three demos of a cluster in containers
	docker/test.sh tour failover partition

docker-test: $(STAMP) ## Build the image, and run every demo, where a Docker engine runs or can be started
	docker/test.sh

docker-lint: $(STAMP) ## Check the Dockerfile, the compose files and the manifests
	$(BIN)/hadolint docker/Dockerfile
	$(BIN)/yamllint --strict --config-file docker/yamllint.yaml docker
	$(BIN)/kubernetes-validate --strict docker/k8s/ringkv.yaml

scenarios: $(STAMP) ## Run every scenario with real faults in a cluster of its own: some fifteen minutes (root)
	$(BIN)/python -m pytest tests/chaos/test_scenarios.py

chaos: $(STAMP) ## Hurt one cluster with every scenario and judge its history (options: SEED=1 NODES=5 OPERATIONS=100000) (root)
	$(BIN)/python -m tests.chaos.campaign $(if $(SEED),--seed $(SEED)) --nodes $(NODES) --operations $(OPERATIONS) $(CHAOS)

fuzz: $(STAMP) ## Send mutated requests to a gateway, and judge its answers (options: FUZZ_SECONDS=300 SEED=1)
	$(BIN)/python -m tests.app.fuzz --seconds $(FUZZ_SECONDS) $(if $(SEED),--seed $(SEED))

check: lint types unit ## Format, lint, types and the quick tests: under a minute

format: $(STAMP) ## Format the source
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lint: $(STAMP) ## Check format and lint
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: $(STAMP) ## Check types
	$(BIN)/mypy

crash-matrix: $(STAMP) ## Crash a store at every moment, let every call fail, and print what came of it: a quarter of an hour of a processor, on all there are
	$(BIN)/python -m tests.engine.matrix $(MATRIX)

crash-kill: $(STAMP) ## Kill 200 processes that write, and look at what they have left (options: KILLS=200 SEED=1)
	$(BIN)/python -m tests.engine.kills --kills $(KILLS) $(if $(SEED),--seed $(SEED))

simulate: $(STAMP) ## Run whole clusters with faults on simulated time (options: SEEDS=200 SIMULATE="--steps 20000")
	$(BIN)/ringkv simulate --count $(SEEDS) $(SIMULATE)

bench: bench-gateway bench-engine ## Both comparisons of the README

bench-gateway: $(STAMP) ## Compare the gateway with etcd (needs wrk and etcd-server)
	$(BIN)/python -m tests.benchmarks.gateway

bench-batch: $(STAMP) ## Compare batches of a hundred with single requests (needs wrk)
	$(BIN)/python -m tests.benchmarks.batches

bench-engine: $(STAMP) ## Compare the engine with RocksDB, LevelDB and LMDB: some eight minutes
	$(BIN)/python -m tests.benchmarks.engine

bench-growth: $(STAMP) ## Fill them with ten million pairs in 256 MiB each: about ten minutes
	$(BIN)/python -m tests.benchmarks.engine_growth

bench-profile: $(STAMP) ## Show where the time of a row of the engine's table goes (options: ROW="get, absent key")
	$(BIN)/python -m tests.benchmarks.engine_profile "$(ROW)"

bench-memory: $(STAMP) ## Measure the engine's memory with far more data than it may keep
	$(BIN)/python -m tests.benchmarks.engine_memory

bench-idle: $(STAMP) ## Measure what a cluster costs that nobody asks for anything (options: IDLE="--partitions 1024")
	$(BIN)/python -m tests.benchmarks.idle $(IDLE)

bench-restart: $(STAMP) ## Measure how long a node with 5 GB takes to be ready again
	$(BIN)/python -m tests.benchmarks.restart $(RESTART)

bench-scan: $(STAMP) ## Measure scans, an export and an import of one node (options: SCAN="--nodes 3 --keys 200000")
	$(BIN)/python -m tests.benchmarks.scan $(SCAN)

bench-stalls: $(STAMP) ## Measure how long writes and gets take while flush and compaction work
	$(BIN)/python -m tests.benchmarks.engine_stalls

bench-queue: $(STAMP) ## Measure the engine as a queue, beside LevelDB
	$(BIN)/python -m tests.benchmarks.queue

load-unicode: $(STAMP) ## Load UnicodeData.txt while nodes are killed, and verify it
	@test -r "$(UNICODE)" || { \
		echo "$(UNICODE) is not there: install Debian's unicode-data, or name a file: make load-unicode UNICODE=..." >&2; \
		exit 1; }
	$(BIN)/python -m tests.cluster.unicode_story "$(UNICODE)"

LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --custom-compile-command "make lock" $(UPGRADE)
.PHONY: lock newest
lock: $(STAMP) ## Write both locks from pyproject.toml (options: UPGRADE=--upgrade for the newest that it allows)
	$(LOCK) pyproject.toml --output-file docker/requirements.txt
	$(LOCK) pyproject.toml --all-extras --constraint docker/requirements.txt --output-file tests/requirements.txt

newest: ## Lint, types and quick tests with the newest that pyproject.toml allows, in a venv of its own: for a schedule
	rm -rf .venv-newest
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --editable '.[dev,bench]'
	touch .venv-newest/.installed && touch .venv-newest/.installed-dev
	$(MAKE) VENV=.venv-newest check

clean: ## Remove .venv and caches, but never data
	rm -rf $(VENV) .venv-other .venv-newest .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
