# Every target is described behind `##`; `make` lists them. GNU make 3.81 will do.

# The Python that .venv is made from: 3.11 or 3.12. Naming one (PYTHON=...) allows no other.
PYTHON ?= $(firstword $(foreach name,python3 python3.12 python3.11,$(shell command -v $(name) 2>/dev/null)))
# A photo for `make demo`; without one it takes the coffee cup that comes with scikit-image.
IMAGE ?=
# Names of files reach the shell through the environment, as they are: $(value ...) keeps make from
# expanding them, and the shell does not read again what it expands. Make would expand what it
# exports by itself.
unexport ARRIVALS IMAGE WEIGHTS
# What makes the models in `make demo`: preview, or hunyuan3d on tiny weights or those of WEIGHTS.
ENGINE ?=
WEIGHTS ?=
# The port of the function app in `make up`.
PORT ?= 7071
# The Functions host of `make up`: own, or func for Core Tools. Some shells export a HOST of theirs.
HOST = own

# An environment in Azure: a folder of infra/terraform/environments.
ENV =

BIN := .venv/bin
# In an environment of its own: it asks for older releases of what the other tools use.
CHECKOV := .venv/checkov/set-up.txt
# Beside the engine: the web server that `make bench-agent` compares the agent with.
PEER := .venv/peer.txt
DEPLOY = $(BIN)/python -m infra.deploy --env "$(ENV)"
# The set-up itself runs on 3.7 and later, and from there explains what else is missing.
NEED_PYTHON = "$(PYTHON)" -c "import sys; sys.exit(sys.version_info < (3, 7))" 2>/dev/null || { \
	echo "set-up: Coldforge needs Python 3.11 or 3.12, and '$(PYTHON)' is none:" \
	"install one, or name one that is already there with PYTHON=/path/to/python." >&2; exit 1; }
SET_UP = "$(PYTHON)" -m scripts.set_up $(if $(filter-out file,$(origin PYTHON)),--only-this-python)
UV_COMPILE = $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 \
	--fork-strategy fewest --no-build --generate-hashes --no-header

# The engine's lock is for the one platform of the CPU build of torch. uv takes the build from the
# folder that pip put it into, so that the lock carries the hash of that file and no other.
UV_COMPILE_ENGINE = $(BIN)/uv pip compile --quiet --no-config --python-version 3.11 \
	--python-platform x86_64-manylinux_2_35 --no-build --generate-hashes --no-header
UV_COMPILE_VM = $(BIN)/uv pip compile --quiet --no-config --python-version 3.12 \
	--python-platform x86_64-manylinux_2_35 --no-build --generate-hashes --no-header --no-annotate
TORCH = $(shell sed -n 's/^torch==.*/&/p' requirements/engine.in)
TORCH_INDEX = https://download.pytorch.org/whl/cpu

.DEFAULT_GOAL := help
.PHONY: help demo up bench bench-agent test check fmt lint type arch unit integration infra prices plan apply image deploy doctor roles rotate destroy mutants nightly rehearse lock clean set-up set-up-bench set-up-demo set-up-engine set-up-test

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: export DEMO_IMAGE = $(value IMAGE)
demo: export DEMO_WEIGHTS = $(value WEIGHTS)
demo: $(if $(filter hunyuan3d,$(ENGINE)),set-up-engine,set-up-demo) ## Turn a photo into a GLB on a local cloud (IMAGE=photo.jpg, ENGINE=hunyuan3d, WEIGHTS=DIR)
	@$(BIN)/python -m localcloud.demo $${DEMO_IMAGE:+"--image=$$DEMO_IMAGE"} \
		$(if $(ENGINE),--engine "$(ENGINE)") $${DEMO_WEIGHTS:+"--weights=$$DEMO_WEIGHTS"}

up: set-up-demo ## Run the local cloud until Ctrl-C and print its URLs (PORT=7071, HOST=func: Core Tools)
	@$(BIN)/python -m localcloud.up --port "$(PORT)" --host "$(HOST)"

bench: set-up ## Measure the engine beside a peer, warm jobs, memory, pool and wakes (to out/bench.json; 9 minutes)
	@$(BIN)/python -m benchmarks

bench-agent: set-up-bench ## Measure the agent on a CPU beside hy3dgen's own server (to out/bench-agent.json; 12 minutes)
	@$(BIN)/python -m benchmarks.agent

# A file stays with one worker, for its tests share servers that are started once; the long ones
# come first, so that no worker is left alone with them.
test: set-up-test $(CHECKOV) lint type arch ## Run everything that CI runs, set-up included
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not nightly" tests

check: lint type arch unit ## Run the quick part of it, in under a minute

fmt: set-up ## Format the code and apply the safe fixes
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lint: set-up ## Check the format, the lint rules and the shell scripts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@if [ -x $(BIN)/shellcheck ]; then $(BIN)/shellcheck .ci/run vm_image/scripts/*.sh && echo "shellcheck: the shell scripts are clean"; \
	else echo "shellcheck has no package for this machine: the shell scripts were not checked"; fi

type: set-up ## Check the types
	$(BIN)/mypy

arch: set-up ## Check which room imports which, that no imports form a circle, and how long functions are
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/architecture/test_shape.py

unit: set-up ## Run the fast tests
	$(BIN)/pytest -q -n 2 tests/unit tests/architecture

integration: set-up ## Run the tests that start Azurite and the local cloud
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder tests/contract tests/integration tests/e2e

# INFRA_PROVIDER=real downloads azurerm and asks it, instead of a provider that knows its schema alone.
infra: set-up $(CHECKOV) ## Check the Terraform and the VM's image: format, validation, plans with mocks, checkov, units; no account
	$(BIN)/pytest tests/infra tests/vm_image

prices: set-up ## Print what an environment costs, idle for a month and for 1,000 jobs (ENV=dev)
	@$(DEPLOY) prices

plan: set-up ## Plan the changes to an environment in Azure (ENV=dev, REPLACE=address: make that anew)
	@$(DEPLOY) plan --replace '$(REPLACE)'

apply: set-up ## Apply that plan, unless it would end jobs (ENV=dev)
	@$(DEPLOY) apply

image: set-up ## Build the image of the GPU VM and publish it (ENV=dev VERSION=1.4.0)
	@$(DEPLOY) image --version "$(VERSION)"

deploy: set-up ## Bring secrets and code to the function app (ENV=dev)
	@$(DEPLOY) deploy

doctor: set-up ## Examine an environment: login, quota, roles, storage, VMs (ENV=dev, WAKE=1: wake a VM, too)
	@$(DEPLOY) doctor --wake "$(WAKE)"

roles: set-up ## See that every role is given, and what is wrong where one is missing (ENV=dev)
	@$(DEPLOY) roles

rotate: set-up ## Have the app show the agents' other token, and draw the first anew (ENV=dev)
	@$(DEPLOY) rotate

destroy: set-up ## Remove an environment, if nothing else goes with it (ENV=dev CONFIRM=dev)
	@$(DEPLOY) destroy --confirm "$(CONFIRM)"

# What `make test` has no time for: it should take under 25 minutes.
nightly: set-up-test ## Run what takes too long for every change: the longest tests, 2,000 random programs, 100 seeds, all planted faults (about 100 minutes)
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m nightly tests
	DIFFERENTIAL_PROGRAMS=2000 $(BIN)/pytest tests/differential
	$(BIN)/python -m localcloud.rehearsal --seeds 100
	$(BIN)/python -m tests.mutants

mutants: set-up-test ## Plant known faults in copies of the source and see each one caught by its test
	@$(BIN)/python -m tests.mutants

rehearse: export REHEARSAL_ARRIVALS = $(value ARRIVALS)
rehearse: set-up ## Rehearse faults in virtual time (SEEDS=20, SEED=7, FAULTS=late,host_crash, JOBS=100, ARRIVALS=trace.csv, STORAGE=azurite)
	$(BIN)/python -m localcloud.rehearsal --seeds $(or $(SEEDS),20) --jobs $(or $(JOBS),100) \
		$(if $(SEED),--seed $(SEED)) $(if $(FAULTS),--faults $(FAULTS)) $${REHEARSAL_ARRIVALS:+"--arrivals=$$REHEARSAL_ARRIVALS"} \
		$(if $(EVERY),--every $(EVERY)) $(if $(STRETCH),--stretch $(STRETCH)) $(if $(STORAGE),--storage $(STORAGE))

lock: set-up ## Make the locks again from requirements/*.in, at the newest versions they allow
	$(UV_COMPILE) --upgrade requirements/app.in --output-file requirements.txt
	$(UV_COMPILE) --upgrade requirements/demo.in --output-file requirements/demo.txt
	$(UV_COMPILE) --upgrade requirements/agent.in --constraint requirements/demo.txt \
		--output-file requirements/agent.txt
	$(UV_COMPILE) --upgrade requirements/dev.in --output-file requirements/dev.txt
	$(BIN)/pip download -q --no-deps --only-binary=:all: --dest .local/torch $(TORCH) || \
		$(BIN)/pip download -q --no-deps --only-binary=:all: --dest .local/torch $(TORCH) --index-url $(TORCH_INDEX)
	$(UV_COMPILE_ENGINE) --upgrade --find-links .local/torch requirements/engine.in --output-file requirements/engine.txt
	$(UV_COMPILE_ENGINE) --upgrade --no-deps requirements/hy3dgen.in --output-file requirements/hy3dgen.txt
	$(UV_COMPILE_ENGINE) --upgrade requirements/bench.in --output-file requirements/bench.txt
	$(UV_COMPILE) --upgrade requirements/checkov.in --output-file requirements/checkov.txt
	sed -n 's/^\([a-z0-9-]*==[^ +]*\).*/\1/p' requirements/engine.txt > .local/engine-pins.txt
	$(UV_COMPILE_VM) --upgrade requirements/vm.in --constraint .local/engine-pins.txt --output-file requirements/vm.txt
	$(UV_COMPILE_VM) --upgrade requirements/vm-build.in --constraint requirements/vm.txt --output-file requirements/vm-build.txt

$(CHECKOV): requirements/checkov.txt | set-up
	$(BIN)/uv venv --quiet --no-config --clear --python $(BIN)/python .venv/checkov
	$(BIN)/uv pip install --quiet --no-config --python .venv/checkov/bin/python \
		--require-hashes --no-build -r $<
	@cp $< $@

$(PEER): requirements/bench.txt | set-up-engine
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: --no-deps -r $<
	@cp $< $@

clean: ## Remove everything that the other targets have made
	rm -rf .venv node_modules localcloud/azurite/node_modules out .local .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

set-up: ## Install what the checks need (test, check and their like do it by themselves)
	@$(NEED_PYTHON)
	@$(SET_UP) dev

set-up-demo: ## Install what the demo needs (demo and up do it by themselves)
	@$(NEED_PYTHON)
	@$(SET_UP) demo

set-up-bench: $(PEER) ## Install what bench-agent needs: the engine, and the web server of its peer

set-up-engine: ## Install what the hunyuan3d engine needs, on CPU (Linux x86-64, Python 3.11)
	@$(NEED_PYTHON)
	@$(SET_UP) engine

set-up-test: ## Install what test needs: set-up-engine where that can be had, else set-up
	@$(NEED_PYTHON)
	@$(SET_UP) test
