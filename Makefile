# Two commands do everything: `make run` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EVERY_PART := orchestration conversion loading packed gateway cron
PARTS ?= $(EVERY_PART)
PEERS_OF_orchestration := celery dagster prefect airflow
PEERS_OF_conversion := focus-converter
PEERS_OF_loading := load pandas
PEERS_OF_packed := load
PEERS_OF_gateway := fastapi
PEERS_OF_cron := cron
OURS_IN_conversion := executor
OURS_IN_packed := executor
OURS_IN_flat := executor
PEERS := $(sort $(foreach part,$(EVERY_PART),$(PEERS_OF_$(part))))
VALIDATOR_PYTHON ?= python3.12
SERVICES := gateway tenant scheduler executor audit_log
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: help run test check fmt contracts lock clean bench long soak hours fuzz containers audit sbom mutants peers conformance screenshots

help: ## List every target
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  make %-11s %s\n", $$1, $$2}'

run: $(VENV)/ready ## Everything on this machine, with a demo, until Ctrl-C (PORT, STATE_DIR, ADMIN_API_KEY, DEMO=0)
	@exec $(BIN)/python -m convergence up

test: $(VENV)/ready ## The whole test suite
	@$(BIN)/python -m pytest -q --tb=native -n auto --maxprocesses 4 --dist loadfile -m "not soak and not containers"

check: $(VENV)/ready ## Lint, format, types, import rules, generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m contracts.generate --check
	@$(BIN)/python -m services.gateway.openapi --check
	@$(BIN)/python -m services.scheduler.templates.page --check

fmt: $(VENV)/ready ## Format the code and mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

contracts: $(VENV)/ready ## Generate schemas, AsyncAPI, topology and diagram from the catalogue; OpenAPI; docs/templates.md
	@$(BIN)/python -m contracts.generate
	@$(BIN)/python -m services.gateway.openapi
	@$(BIN)/python -m services.scheduler.templates.page

bench: $(VENV)/ready ## Measure hops, latency and throughput on this machine
	@$(BIN)/python -m tests.bench.bench_bus
	@$(BIN)/python -m tests.bench.bench_auth
	@$(BIN)/python -m tests.bench.bench_scheduler
	@$(BIN)/python -m tests.bench.admission
	@$(BIN)/python -m tests.bench.bench_executor
	@$(BIN)/python -m tests.bench.bench_gateway
	@$(BIN)/python -m tests.bench.run
	@$(BIN)/python -m tests.bench.recording
	@$(BIN)/python -m tests.bench.exactness
	@$(BIN)/python -m tests.bench.promised
	@$(BIN)/python -m tests.bench.reading; held=$$?; $(BIN)/python -m tests.bench.page && exit $$held

peers: $(foreach part,$(PARTS),$(patsubst %,$(VENV)/peers/%/ready,$(PEERS_OF_$(part)) $(OURS_IN_$(part)))) ## The same work by others, side by side (PARTS=conversion, PARTS=flat, ROWS, ROUNDS; redis-server)
	@$(BIN)/python -m tests.bench.peers $(PARTS)
	@$(BIN)/python -m tests.bench.page

conformance: $(VENV)/ready $(VENV)/validator/ready ## The official FOCUS validator over what we make of every bill (MODEL=model-1.4.json, VALIDATOR_PYTHON=python3.12)
	@MODEL="$(MODEL)" VALIDATOR=$(VENV)/validator/bin/focus-validator $(BIN)/python -m tests.conformance

soak: $(VENV)/ready ## Everything that can go wrong, for long, and a judge at the end (MINUTES=20, SEED=1)
	@$(BIN)/python -m pytest -q -m soak tests/api
	@$(BIN)/python -m tests.soak

hours: $(VENV)/ready ## Single promises under hundreds of kills and thousands of seeds
	@$(BIN)/python -m pytest -q -m soak tests --ignore tests/api

long: $(VENV)/ready ## A hundred thousand runs: do memory and latency stay what they are? (RUNS=100000)
	@$(BIN)/python -m tests.bench.long_run --runs $(or $(RUNS),100000); held=$$?; $(BIN)/python -m tests.bench.page && exit $$held

mutants: $(VENV)/ready ## Sabotage one promise after the other; the suite must notice each
	@$(BIN)/python -m tests.mutations.gate "$(NAME)"

containers: $(VENV)/ready ## Build all images, compose them, and check them under faults (needs Docker)
	@$(BIN)/python -m tests.containers

fuzz: $(VENV)/ready $(VENV)/fuzz ## Fuzz the parsers that strangers feed, guided by coverage (SECONDS=60 each)
	@targets=$$($(BIN)/python -m tests.fuzz.targets) || exit 1; for t in $$targets; do $(BIN)/python -m tests.fuzz.run $$t $(or $(SECONDS),60) || exit 1; done

screenshots: $(VENV)/ready ## Pictures of the console in docs/pictures, from the running demo (needs Chromium)
	@$(BIN)/python -m tests.console.pictures

lock: $(VENV)/ready ## Resolve all dependencies anew, once, and write every lock file
	@$(LOCK) $(SERVICES:%=services/%/pyproject.toml) convergence/pyproject.toml --group pyproject.toml:dev -o requirements/dev.txt
	@awk '/^uv==/{p=1} p&&/^[a-z]/&&!/^uv==/{exit} p{print}' requirements/dev.txt > requirements/bootstrap.txt
	@$(LOCK) $(SERVICES:%=services/%/pyproject.toml) --group pyproject.toml:local-cloud -c requirements/dev.txt -o requirements/local-cloud.txt
	@$(LOCK) --group pyproject.toml:supply -c requirements/dev.txt -o requirements/supply.txt
	@$(LOCK) --group pyproject.toml:fuzz -c requirements/dev.txt -o requirements/fuzz.txt
	@for p in $(PEERS); do $(LOCK) --group pyproject.toml:peer-$$p $$(ls requirements/peers/$$p.overrides 2>/dev/null | sed "s/^/--override /") -o requirements/peers/$$p.txt || exit 1; done
	@$(LOCK:3.11=3.12) --group pyproject.toml:validator -o requirements/validator.txt
	@for s in $(SERVICES); do $(LOCK) services/$$s/pyproject.toml -c requirements/dev.txt -o services/$$s/requirements.txt || exit 1; done
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m deploy.licences

audit: $(VENV)/supply ## What is known to be wrong with locked dependencies (asks the network), and their licences
	@for s in $(SERVICES); do $(BIN)/pip-audit --require-hashes --disable-pip --progress-spinner off -r services/$$s/requirements.txt || exit 1; done
	@$(BIN)/python -m deploy.licences --check

sbom: $(VENV)/supply ## A CycloneDX list of what each image holds, in build/sbom
	@mkdir -p build/sbom
	@for s in $(SERVICES); do $(BIN)/cyclonedx-py requirements --pyproject services/$$s/pyproject.toml --mc-type application --output-reproducible -o build/sbom/$$s.cdx.json services/$$s/requirements.txt || exit 1; done

clean: ## Remove the environment, caches and local state
	rm -rf $(VENV) .local .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/ready: requirements/bootstrap.txt requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which with make PYTHON=/path/to/python3"; exit 1; }
	@echo "making the environment in $(VENV) (once; takes a moment)"
	@$(PYTHON) -m venv --clear $(VENV) || { echo "$(PYTHON) cannot make a virtual environment: install its venv module"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s" -m convergence "$$@"\n' "$(CURDIR)" "$(CURDIR)/$(BIN)/python" > $(BIN)/convergence
	@chmod +x $(BIN)/convergence
	@touch $@

$(VENV)/supply: $(VENV)/ready requirements/supply.txt
	@$(PYTHON) -m venv --clear $(VENV)/supply-tools
	@$(BIN)/uv pip install --quiet --python $(VENV)/supply-tools/bin/python --require-hashes -r requirements/supply.txt
	@ln -sf ../supply-tools/bin/pip-audit ../supply-tools/bin/cyclonedx-py $(BIN)/
	@touch $@

define environment
	@echo "making the environment of $* (once)"
	@$(PYTHON) -m venv --clear $(@D)
	@$(BIN)/uv pip sync --quiet --python $(@D)/bin/python --require-hashes $<
	@touch $@
endef

$(VENV)/peers/%/ready: requirements/peers/%.txt $(VENV)/ready
	$(environment)

# As a service's image has it: nothing of what development needs.
$(VENV)/peers/%/ready: services/%/requirements.txt $(VENV)/ready
	$(environment)

$(VENV)/validator/ready: requirements/validator.txt $(VENV)/ready
	@$(VALIDATOR_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' || { echo "the FOCUS validator needs Python 3.12 or newer; say which with make conformance VALIDATOR_PYTHON=/path/to/python3.12"; exit 1; }
	@$(VALIDATOR_PYTHON) -m venv --clear $(@D)
	@$(BIN)/uv pip sync --quiet --python $(@D)/bin/python --require-hashes $<
	@touch $@

$(VENV)/fuzz: $(VENV)/ready requirements/fuzz.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/fuzz.txt
	@touch $@
