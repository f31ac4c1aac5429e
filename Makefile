# The road: make download train predict submit. `make help` shows it.

DATASET    ?= tgs
EXPERIMENT ?=
FOLDS      ?=
ARCHIVE    ?=
SET        ?=
JOBS       ?= 1
EXECUTOR   ?= local
ADDRESS    ?=
STORE      ?=
CPUS       ?=
GPUS       ?=
ACCELERATOR      ?=
FOLDS_PER_KERNEL ?=
NO_INTERNET      ?=
DRY_RUN    ?=
WAIT       ?=
NO_WAIT    ?=
FORCE      ?=
RETRAIN    ?=
TILE       ?=

export NO_ALBUMENTATIONS_UPDATE = 1
export PYTHONDONTWRITEBYTECODE =
export PIP_DISABLE_PIP_VERSION_CHECK = 1

VENV    := .venv
PYTHON  := $(VENV)/bin/python
# Passed through the environment, so that the shell does not interpret quotation marks in them.
export DATASET EXPERIMENT FOLDS ARCHIVE SET JOBS TILE EXECUTOR ADDRESS STORE CPUS GPUS ACCELERATOR FOLDS_PER_KERNEL WAIT
CHOICE   = --dataset "$$DATASET" $(if $(EXPERIMENT),--experiment "$$EXPERIMENT") --folds "$$FOLDS" $(if $(SET),--set "$$SET")
OPTIONS  = $(CHOICE) --jobs "$$JOBS" $(if $(ARCHIVE),--archive "$$ARCHIVE") $(PLACE)
PLACE    = --executor "$$EXECUTOR" $(if $(ADDRESS),--address "$$ADDRESS") $(if $(STORE),--store "$$STORE") \
	$(if $(CPUS),--cpus-per-fold "$$CPUS") $(if $(GPUS),--gpus-per-fold "$$GPUS") \
	$(if $(ACCELERATOR),--accelerator "$$ACCELERATOR") $(if $(FOLDS_PER_KERNEL),--folds-per-kernel "$$FOLDS_PER_KERNEL") \
	$(if $(call enabled,NO_INTERNET),--no-internet)
enabled  = $(filter-out 0 no false,$($(1)))
UPLOAD   = $(if $(call enabled,DRY_RUN),--dry-run) $(if $(call enabled,NO_WAIT),--no-wait) $(if $(WAIT),--wait "$$WAIT") \
	$(if $(call enabled,FORCE),--force)
AGAIN    = $(if $(call enabled,RETRAIN),--retrain)
# The first Python 3.11, 3.12 or 3.13 that is found; PYTHON3=... selects another.
PYTHON3 ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)

# A variable of the command line that nothing reads is refused: make train FOLD=0 would train every fold.
CHOICES   = DATASET EXPERIMENT FOLDS ARCHIVE SET JOBS EXECUTOR ADDRESS STORE CPUS GPUS ACCELERATOR FOLDS_PER_KERNEL NO_INTERNET \
	DRY_RUN WAIT NO_WAIT FORCE RETRAIN TILE
VARIABLES = $(CHOICES) VENV PYTHON PYTHON3
FOREIGN   = SHELL MAKE% FUZZ_% PIPELINE_% KERAS_% KAGGLE_% TF_% XLA_% JAX_% CUDA_% NVIDIA_% RAY_% OMP_% PIP_% \
	%_PROXY %_proxy NO_ALBUMENTATIONS_UPDATE PYTHON%
TYPED    := $(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name)))
UNKNOWN  := $(firstword $(filter-out $(VARIABLES) $(FOREIGN),$(TYPED)))
NEAREST   = $(or $(PYTHON3),$(wildcard $(PYTHON))) -c 'import difflib, sys; \
	print(*difflib.get_close_matches(sys.argv[1].upper(), sys.argv[2:], 1, 0.75))' '$(subst ',,$(1))' $(VARIABLES) 2>/dev/null
ifneq ($(UNKNOWN),)
CLOSE := $(shell $(call NEAREST,$(UNKNOWN)))
HINT  := $(if $(CLOSE),did you mean $(CLOSE)?,a setting is written as SET="train.epochs=5")
$(error there is no variable $(UNKNOWN); $(HINT) (docs/commands.md lists them))
endif
# What the demo would ignore is refused, too.
IGNORED := $(filter $(filter-out SET JOBS RETRAIN TILE,$(CHOICES)),$(TYPED)) $(if $(ARCHIVE),ARCHIVE)
ifneq ($(and $(filter demo,$(MAKECMDGOALS)),$(strip $(IGNORED))),)
$(error make demo takes no $(firstword $(IGNORED)); make submit does, with DATASET=demo or for tiles of your own \
	(DATASET=mine ARCHIVE=tiles.zip))
endif
# So is one of submit or show without that target: make train DRY_RUN=1 would train.
unread = $(if $(filter $(1),$(MAKECMDGOALS)),,$(foreach name,$(filter $(2),$(TYPED)),$(if $(call enabled,$(name)),$(name))))
refuse = $(if $(2),$(error make $(firstword $(MAKECMDGOALS)) takes no $(firstword $(2)); make $(1) does))
ifneq ($(filter-out help,$(MAKECMDGOALS)),)
$(call refuse,submit,$(call unread,submit,DRY_RUN WAIT NO_WAIT FORCE))
$(call refuse,show,$(call unread,show,TILE))
endif

.DEFAULT_GOAL := help
.NOTPARALLEL:

##@ Stages: each target first runs the stages before it that are not up to date
# The stages in the order in which they run. `make help` reads their help texts from pipeline/stages/*.py.
STAGES := download prepare mosaic split pretrain train validate report predict submit
.PHONY: $(STAGES)
$(STAGES): | $(VENV)/ready$(if $(filter ray,$(EXECUTOR)),-cluster)
	@$(PYTHON) -m pipeline $@ $(OPTIONS) $(if $(filter-out download prepare mosaic split pretrain,$@),$(AGAIN)) $(if $(filter submit,$@),$(UPLOAD))

##@ Other commands
.PHONY: demo status show submissions experiments settings lab board clean-% help
demo: | $(VENV)/ready ## all stages on the built-in survey: no account, no download
	@$(PYTHON) -m pipeline submit --dataset demo --jobs "$$JOBS" $(if $(SET),--set "$$SET") $(AGAIN)
status: | $(VENV)/ready ## show what is done, stale (and why) or missing, the score and the next command
	@$(PYTHON) -m pipeline status $(CHOICE)
show: | $(VENV)/ready ## draw one tile with its truth and prediction: make show TILE=id
	@$(PYTHON) -m pipeline show $(CHOICE) -- "$$TILE"
submissions: | $(VENV)/ready ## list Kaggle's past submissions with your receipts: CV against public and private score
	@$(PYTHON) -m pipeline submissions
experiments: | $(VENV)/ready ## list the experiments, with the score and the cost of those that are trained
	@$(PYTHON) -m pipeline experiments --dataset "$$DATASET"
settings: | $(VENV)/ready ## list the settings: value, meaning, what is allowed
	@$(PYTHON) -m pipeline settings $(CHOICE)
lab: | $(VENV)/ready-lab ## open the notebooks in JupyterLab
	@$(VENV)/bin/jupyter lab notebooks
board: | $(VENV)/ready-lab ## watch training in TensorBoard, with SET="train.tensorboard=true"
	@$(VENV)/bin/tensorboard --logdir "data/$$DATASET/experiments"
clean-%: export WHAT = $*
clean-%: | $(VENV)/ready ## remove the files of one stage or experiment: make clean-train FOLDS=0, make clean-unet
	@$(PYTHON) -m pipeline clean "$$WHAT" $(CHOICE)
help: ## show this page
	@awk -v stages="$(STAGES)" 'BEGIN {FS = ":.*## "; count = split(stages, names, " ")} \
		function row(name, text) {printf "  make %-14s %s\n", name, text} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^STAGES := / {for (i = 1; i <= count; i++) { \
			file = "pipeline/stages/" names[i] ".py"; text = ""; \
			while ((getline line < file) > 0) if (sub(/^ *help="/, "", line) && sub(/",$$/, "", line)) text = line; \
			row(names[i], text)}} \
		/^[a-z%-]+:.*## / {sub(/:.*/, "", $$1); row($$1, $$2)}' $(MAKEFILE_LIST)
	@printf '\nVariables (now): DATASET=%s EXPERIMENT=%s FOLDS=%s ARCHIVE=%s JOBS=%s SET="%s"\n' \
		"$$DATASET" "$${EXPERIMENT:-$(if $(filter demo,$(DATASET)),demo,unet)}" "$${FOLDS:-all}" "$$ARCHIVE" "$$JOBS" "$$SET"
	@printf 'Example: make train EXPERIMENT=unet FOLDS=0,1 SET="train.epochs=5 train.batch_size=16"\n'

##@ Development
.PHONY: test test-slow test-faults test-backends test-cluster bench bench-gpu online audit format lock
test: | $(VENV)/ready ## lint, type check and the default test suite
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not faults and not cluster"
test-slow: | $(VENV)/ready ## the tests that take minutes
	$(PYTHON) -m pytest -m slow
test-faults: | $(VENV)/ready ## killed runs, damaged files, full disks: the same command must recover
	FUZZ_EXAMPLES=500 $(PYTHON) -m pytest -n 2 --dist worksteal -m "faults or fuzz"
test-backends: | $(VENV)/ready-jax ## network, loss, training and prediction on JAX
	KERAS_BACKEND=jax $(PYTHON) -m pytest -m backends
test-cluster: | $(VENV)/ready-cluster ## folds on a real Ray cluster of two nodes: lost workers, stores, several experiments
	$(PYTHON) -m pytest -m cluster tests/execution
bench: | $(VENV)/ready-bench ## measure speed on this machine's processor (some minutes) into benchmarks/RESULTS.md
	$(PYTHON) -m benchmarks
bench-gpu: | $(VENV)/ready-gpu ## measure speed on an NVIDIA GPU with JAX
	KERAS_BACKEND=jax $(PYTHON) -m benchmarks gpu
online: # checked first, because offline the tools themselves print a page of retries
	@$(PYTHON) -c "import requests; requests.get('https://pypi.org/pypi/pip/24.0/json', timeout=10).raise_for_status()" 2>/dev/null || { \
		echo "error: pypi.org, which lists known vulnerabilities, does not answer; make audit needs the internet" >&2; exit 2; }
audit: | $(VENV)/ready online $(VENV)/ready-lab ## check the locked dependencies for known vulnerabilities (needs the internet)
	$(VENV)/bin/pip-audit --strict --disable-pip --require-hashes -r requirements/base.lock
format: | $(VENV)/ready ## put the code in the project's style
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
lock: | $(VENV)/ready ## resolve the dependencies of pyproject.toml again (needs uv)
	uv pip compile pyproject.toml --group dev $(LOCK) -o requirements/base.lock
	for group in jax gpu lab bench; do \
		uv pip compile pyproject.toml --group dev --group $$group -c requirements/base.lock $(LOCK) -o requirements/$$group.lock || exit; done
	uv pip compile pyproject.toml --group dev --extra cluster -c requirements/base.lock $(LOCK) -o requirements/cluster.lock
LOCK = --universal --fork-strategy fewest --python-version 3.11 --generate-hashes --no-header --no-annotate

# The environment: created once, and updated in place when a lock file changes, so that packages that you add to it stay.
# A command that runs from it holds a lock on the file beside it; meanwhile the environment is not updated.
$(VENV).lock:
	@touch $@ 2>/dev/null || true
$(VENV)/ready: requirements/base.lock | $(VENV).lock
	$(INSTALL)
$(VENV)/ready-%: requirements/%.lock $(VENV)/ready
	$(INSTALL)
define INSTALL
@if [ -z "$(or $(PYTHON3),$(wildcard $(PYTHON)))" ]; then \
	echo "error: Python 3.11, 3.12 or 3.13 is needed; install one, or name it: make PYTHON3=/path/to/python3.12" >&2; exit 2; fi
@$(or $(PYTHON3),$(PYTHON)) -I pipeline/system/environment.py $(VENV) $@ $< "$(PYTHON3)"
endef
