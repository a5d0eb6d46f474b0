PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run monitor test check bench bench-compare benchmarks soak adversity fuzz mutants drill replay token routes rules metrics dashboards lock clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: $(STAMP) ## make .venv from requirements.lock (nothing to do while the lock is the same)

# The lock's content decides, not its date: a fresh checkout of the same lock installs nothing.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "tapewatch needs Python 3.11 or later; $(PYTHON) is not. Try: make setup PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@if ! cmp -s requirements.lock .venv/requirements.lock; then \
		set -e; echo "installing what requirements.lock names into .venv takes a minute or two" >&2; \
		rm -rf .venv; $(PYTHON) -m venv .venv; \
		$(BIN)/pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock; \
		cp requirements.lock .venv/requirements.lock; \
	fi
	@$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $(STAMP)

run: setup ## start everything: database, cache, demo accounts, feed, service
	$(BIN)/tapewatch run $(ARGS)

# The service's own setting says where it is; Make takes it from the environment.
monitor: setup ## watch what `make run` runs: Prometheus, Alertmanager, and every notification
	@$(BIN)/python -m alerts.monitor --target 127.0.0.1:$(or $(TAPEWATCH_OPS_PORT),9464) $(ARGS)

# Much of it waits, so there are more workers than processors; tests/workers.py says who runs what.
# One hash seed, or they would name tests differently that are named by a set; and compiled modules,
# which an environment may forbid, for what is started a hundred times.
WORKERS := --dist loadscope --tx '2*popen' --tx '2*popen//nice=5'

test: setup ## run the tests (ARGS='-k name' picks some, one after the other)
	@PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest $(or $(ARGS),$(WORKERS))

check: setup ## format, lint, types, and the pages and dashboards that are generated
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict service telemetry dashboards alerts tests
	$(BIN)/python -m dashboards.metrics_page --check
	$(BIN)/python -m alerts.monitor.local_routes --check
	$(BIN)/python -m alerts.monitor.prometheus_rule --check
	$(BIN)/python -m dashboards --check
	$(BIN)/python -m tests.bench.page --check

bench: setup ## measure (ARGS picks the parts)
	$(BIN)/python -m tests.bench $(ARGS)

bench-compare: setup ## lay two results of `make bench` beside each other: A=file B=file
	@test -n "$(A)" -a -n "$(B)" || { echo "which results? make bench-compare A=file B=file"; exit 2; }
	@$(BIN)/python -m tests.bench.compare $(A) $(B)

benchmarks: setup ## write BENCHMARKS.md anew from benchmarks/run.json
	$(BIN)/python -m tests.bench.page

soak: setup ## trade at random for ten minutes with everything on (ARGS='--minutes 2 --seed 7')
	$(BIN)/python -m tests.soak $(ARGS)

adversity: setup ## hurt a deployment of seven processes at random (N=1000 faults, SEED=1)
	@$(BIN)/python -m tests.adversity --faults $(or $(N),1000) --seed $(or $(SEED),1) $(ARGS)

fuzz: setup ## send a service nonsense (N=100000 inputs, SEED=1; ARGS='--role gateway')
	@$(BIN)/python -m tests.fuzz --inputs $(or $(N),10000) --seed $(or $(SEED),1) $(ARGS)

mutants: setup ## change every alert rule in every way: its tests must notice (ARGS names rules)
	@$(BIN)/python -m tests.rule_mutants $(ARGS)

drill: setup ## fire every alert for real (ARGS='--only TapewatchRedisDown', '--healthy 15')
	@$(BIN)/python -m tests.drills $(ARGS)

replay: setup ## replay SCENARIO=dir [TICKS=file] [DEALS=out.csv] [SPEED=max|1|10]
	@test -n "$(SCENARIO)" || { echo "which scenario? make replay SCENARIO=dir [TICKS=file] [DEALS=out.csv] [SPEED=max|1|10]"; exit 2; }
	$(BIN)/tapewatch replay $(SCENARIO) $(if $(TICKS),--ticks $(TICKS)) $(if $(DEALS),--deals $(DEALS)) $(if $(SPEED),--speed $(SPEED))

token: setup ## print a bearer token for a demo account
	@$(BIN)/tapewatch token $(ARGS)

routes: setup ## write deploy/alertmanager/alertmanager.yml anew from the shipped routes
	$(BIN)/python -m alerts.monitor.local_routes

rules: setup ## write the PrometheusRule of deploy/kubernetes anew from the shipped rules
	$(BIN)/python -m alerts.monitor.prometheus_rule

metrics: setup ## write telemetry/METRICS.md anew
	$(BIN)/python -m dashboards.metrics_page

dashboards: setup ## write dashboards/generated anew from the catalogue
	$(BIN)/python -m dashboards

# The image's lock is a part of the whole one: the same versions, without servers and tools.
lock: ## pin every dependency anew into requirements.lock, and the image's into deploy/
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
		$(PYTHON) -m venv "$$dir" && "$$dir/bin/pip" install --disable-pip-version-check --quiet uv; \
		compile="$$dir/bin/uv pip compile pyproject.toml --generate-hashes --no-emit-index-url \
			--universal --python-version 3.11 --quiet --custom-compile-command"; \
		$$compile "make lock" --all-extras --upgrade --output-file requirements.lock; \
		$$compile "make lock" --no-annotate --constraint requirements.lock --upgrade \
			--output-file deploy/requirements.lock

clean: ## remove the virtual environment, caches and build output (never .tapewatch, which holds data)
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
