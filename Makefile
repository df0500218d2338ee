# Each target is one line of intent; the work is done by the scripts in docker/ and the driver in docker/src.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# A builder in a container of its own would not see the base image, which is only on the engine.
export BUILDX_BUILDER := default
# An exported one would lead 'cd' to another folder, and have it print a line.
unexport CDPATH

# The images' labels. A remote's address may hold a password, which goes.
export WEIGHTDOCK_SOURCE := $(or $(filter https://%,$(shell git config --get remote.origin.url 2>/dev/null | sed 's,//[^/@]*@,//,')),unknown)
export WEIGHTDOCK_REVISION := $(or $(shell git describe --always --dirty --abbrev=40 2>/dev/null),unknown)
export WEIGHTDOCK_VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' common/src/weightdock/__init__.py)

DRIVER := .venv/bin/weightdock-driver
# The real weights of ORIGIN=upstream are other files than the demo's, under the same names.
R2_SETTINGS := --env-file docker/local/r2/settings.env $(if $(filter upstream,$(ORIGIN)),--env-file docker/local/r2/upstream.env)
# With a file of its own, so that what .env says, or cannot say, is nothing to the demo and the builds.
LOCAL := docker compose --profile local $(R2_SETTINGS)
WEIGHTDOCK := .venv/bin/weightdock
LOCKING := docker compose
ORIGIN_SETTINGS := $(if $(filter upstream,$(ORIGIN)),,--env-file docker/local/origin/settings.env)
LOCKED := $(patsubst common/src/weightdock/catalogue/%/models.toml,%,$(wildcard common/src/weightdock/catalogue/*/models.toml))
LAST_RUN := .build/last-run.json
PINNED := $(filter-out images/torch-requirements.txt,$(wildcard $(addsuffix requirements.txt,images/*/ images/*- docker/ docker/local/*/ bench/ tests/)))
STAND_INS := local-r2 $(if $(filter upstream,$(ORIGIN)),,local-origin)

# What is misspelt must not mean the real store.
ifneq ($(filter-out demo,$(ON))$(filter-out upstream,$(ORIGIN)),)
$(error ON may be demo and ORIGIN upstream, or neither is given)
endif

# ON=demo: the demo's store, origin and a cache of its own in place of all that the environment and .env say.
ifeq ($(ON),demo)
export WEIGHTDOCK_CACHE := $(CURDIR)/.build/demo-cache
LAST_RUN := .build/demo-run.json
DEMO_SETTINGS := $(R2_SETTINGS) $(ORIGIN_SETTINGS)
DEMO_NETWORK := --network weightdock
DEMO := $(shell sed '/^\#/d' $(if $(filter upstream,$(ORIGIN)),docker/local/r2/*.env,docker/local/*/settings.env)) AWS_S3_ENDPOINT_URL=http://127.0.0.1:9000
WEIGHTDOCK := cd .build && env -i PATH="$$PATH" WEIGHTDOCK_CACHE="$$WEIGHTDOCK_CACHE" $(DEMO) ../.venv/bin/weightdock
LOCKING := env $(DEMO) docker compose $(R2_SETTINGS)
# What a message names is the real store's.
export ON_DEMO := On the demo (make demo starts it): make … ON=demo, or $(DRIVER) $(strip $(DEMO_SETTINGS)) … $(DEMO_NETWORK)
HINT := || { code=$$?; echo "$$ON_DEMO" >&2; exit $$code; }
endif

##@ Try it

.PHONY: help
help: ## Show this
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z%\/<>-]+:.*## / {sub("%", "<framework>", $$1); printf "  make %-18s %s\n", $$1, $$2}' \
	  Makefile

.PHONY: demo
demo: LAST_RUN := .build/demo-run.json
demo: images ## All eight models: origin, uploaders, store, node; needs no account (ORIGIN=upstream: the real weights)
	$(DRIVER) images >/dev/null
	docker/local-stack up $(STAND_INS)
	$(DRIVER) $(R2_SETTINGS) $(ORIGIN_SETTINGS) upload --network weightdock --save $(LAST_RUN)
	$(DRIVER) $(R2_SETTINGS) bootstrap --network weightdock --cache weightdock-node-cache
	@echo "The store stays up: http://127.0.0.1:9000, key weightdock, secret weightdock-local; make demo-down ends it." >&2

.PHONY: demo-down
demo-down: ## End the demo's store and origin; what they hold stays
	docker/local-stack down

##@ Mirror weights (with credentials in the environment or .env)

.PHONY: upload-all
upload-all: $(DRIVER) ## Upload every registered model that is missing (ON=demo)
	$(DRIVER) $(DEMO_SETTINGS) upload $(DEMO_NETWORK) --save $(LAST_RUN) $(HINT)

upload/%: $(DRIVER) ## Upload one framework's: upload/ultralytics, upload/timm
	$(DRIVER) $(DEMO_SETTINGS) upload --framework $* $(DEMO_NETWORK) --save $(LAST_RUN) $(HINT)

.PHONY: plan
plan: $(DRIVER) ## Show what upload-all would do, and what it would cost (ON=demo: in the demo's store)
	$(DRIVER) $(DEMO_SETTINGS) upload --dry-run $(DEMO_NETWORK) $(HINT)

.PHONY: verify
verify: $(DRIVER) ## Compare the store with manifest and lock; DEEP=1 reads every byte (ON=demo)
	@mkdir -p .build
	$(WEIGHTDOCK) verify $(if $(filter-out 0,$(DEEP)),--deep) $(HINT)

.PHONY: status
status: $(DRIVER) ## Show where each model is, and write a page to look at: .build/status.html (ON=demo)
	@mkdir -p .build
	$(WEIGHTDOCK) status --html "$(CURDIR)/.build/status.html" $(patsubst %,--run "$(CURDIR)/%",$(wildcard $(LAST_RUN))) $(HINT)

.PHONY: lock
lock: $(LOCKED:%=lock/%) ## Write models.lock from what the origins publish, for review (ON=demo: only show it)

$(LOCKED:%=lock/%): lock/%: images
	$(LOCKING) run --rm -T --entrypoint weightdock $*-uploader lock --framework $* >.build/$*.lock
	$(if $(filter demo,$(ON)),cat .build/$*.lock,mv .build/$*.lock common/src/weightdock/catalogue/$*/models.lock)

.PHONY: bootstrap
bootstrap: $(DRIVER) ## Fill this machine's cache, WEIGHTDOCK_CACHE, from the store (ON=demo)
	$(DRIVER) $(DEMO_SETTINGS) bootstrap $(DEMO_NETWORK) --save $(LAST_RUN) $(HINT)

##@ On a fleet (the engine is a Swarm's manager: docs/fleet.md)

.PHONY: swarm-upload
swarm-upload: $(DRIVER) not-on-demo ## The same as upload-all on the Swarm's nodes, in TASKS=3 shares a framework
	$(DRIVER) swarm upload --tasks $(or $(TASKS),3)

.PHONY: swarm-bootstrap
swarm-bootstrap: $(DRIVER) not-on-demo ## Fill the cache of every node that meets CONSTRAINT=node.labels.gpu==true
	$(DRIVER) swarm bootstrap --constraint $(or $(CONSTRAINT),node.labels.gpu==true)

.PHONY: not-on-demo
not-on-demo:
	$(if $(ON),$(error the demo's store is not to be reached from other nodes: without ON=demo))

##@ Build

.PHONY: engine
engine: ## Have a container engine: the one that answers, else install and start one
	docker/engine

.PHONY: images
images: engine $(DRIVER) ## Build every image
	docker/base-image
	docker/wheelhouse
	$(LOCAL) build

.PHONY: image-sizes
image-sizes: $(DRIVER) ## Show each image's size beside its limit
	$(DRIVER) images --sizes

.PHONY: sbom
sbom: .venv/dev ## Write a CycloneDX bill of materials of each image into .build/sbom
	docker/sbom $$($(DRIVER) images)

.PHONY: hashes
hashes: .venv/dev ## Write each requirements.lock anew: the versions of requirements.txt with their hashes
	for pinned in $(PINNED); do .venv/bin/uv pip compile --quiet --native-tls --no-deps --generate-hashes --no-header \
	  --no-annotate --python-version 3.11 --output-file $${pinned%.txt}.lock $$pinned; done

##@ Work on weightdock

.PHONY: test
test: images browser .venv/dev ## Unit, image, browser and integration tests, on real parts
	.venv/bin/pytest

.PHONY: browser
browser: ## Have a Chromium for the tests: the one that is there, else install one
	docker/browser

.PHONY: test/fleet
test/fleet: images .venv/dev ## A Swarm of three engines in network namespaces, other engines, manifests (root, 10 minutes)
	.venv/bin/pytest -m fleet

.PHONY: lint
lint: .venv/dev ## ruff, mypy, shellcheck, hadolint
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/shellcheck $$(git grep -lE '^#!.*bash' -- docker .ci)
	.venv/bin/hadolint $$(git ls-files '*Dockerfile')

.PHONY: docs
docs: $(DRIVER) ## Write docs/commands.md from what --help says
	.venv/bin/python docs/write_help.py

.PHONY: bench
bench: bench/scale bench/upload bench/fill bench/fleet ## All of the next four, one after another (root; three quarters of an hour)

.PHONY: bench/scale
bench/scale: images .venv/bench ## Measure a catalogue of all that timm has, and simulate 10,000 nodes
	.venv/bin/python bench/fleet_simulation.py
	PYTHONPATH=tests .venv/bin/python bench/scale.py

.PHONY: bench/upload
bench/upload: .venv/bench ## Measure an upload beside s5cmd, rclone and boto3
	PYTHONPATH=tests .venv/bin/python bench/upload.py

.PHONY: bench/fill
bench/fill: .venv/bench ## Measure a node's cold fill beside s5cmd, rclone and boto3, and from far away
	PYTHONPATH=tests .venv/bin/python bench/fill.py

.PHONY: bench/fleet
bench/fleet: images .venv/bench ## Measure the driver's start and its processor time, and three nodes beside one (root)
	PYTHONPATH=tests .venv/bin/python bench/fleet.py

.PHONY: clean
clean: ## Remove everything that was made: containers, volumes, images, the environment
	if docker info >/dev/null 2>&1; then $(LOCAL) down --volumes --rmi all --remove-orphans && \
	  docker image ls --quiet weightdock/base | xargs -r docker image rm; fi
	rm -rf .venv .build

$(DRIVER): docker/requirements.lock docker/pyproject.toml common/pyproject.toml
	docker/host-venv .venv --require-hashes -r docker/requirements.lock
	.venv/bin/pip install --quiet --quiet --no-deps --editable common --editable docker
	@touch $@

.venv/dev: $(DRIVER) tests/requirements.lock
	.venv/bin/pip install --quiet --quiet --require-hashes -r tests/requirements.lock
	@touch $@

.venv/bench: .venv/dev bench/requirements.lock
	.venv/bin/pip install --quiet --quiet --require-hashes -r bench/requirements.lock
	@touch $@
