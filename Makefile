# make run [CONFIG=studies/x.yaml] [CORES=n] [PART="task=sir seed=0,1"] [PROFILE=profiles/slurm]    make test    make ui    make report    make plan
CONFIG ?= config.yaml
CORES ?=
PART ?=
PROFILE ?=
PY ?= python3
TORCH := torch==2.13.0
TORCH_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/stamp
STUDY = $$($(BIN)/python -c "from certibayes.config import load; print(load('$(CONFIG)').study)")

.PHONY: run test slow test-slurm lint ui report plan unlock env

run: $(STAMP)
	@exec $(BIN)/certibayes run --die-with-parent --config $(CONFIG) \
		$(CORES:%=--cores %) $(PROFILE:%=--profile %) $(PART:%=--part %)

plan: $(STAMP)
	$(BIN)/snakemake --dry-run --cores 1 --configfile $(CONFIG)

report: $(STAMP)
	$(BIN)/snakemake --nolock --configfile $(CONFIG) --report results/$(STUDY)/workflow.html
	$(BIN)/certibayes report --check --config $(CONFIG)

ui: $(STAMP)
	$(BIN)/mlflow ui --backend-store-uri sqlite:///mlflow.db

test: $(STAMP)
	$(BIN)/pytest -n auto

slow: $(STAMP)
	$(BIN)/pytest -n auto -m slow

test-slurm: $(STAMP)
	@exec tests/with_slurm.sh $(BIN)/pytest -m slurm -n 3 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint --configfile $(CONFIG)
	$(BIN)/certibayes envs

unlock: $(STAMP)
	$(BIN)/certibayes unlock --config $(CONFIG)

env: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python >= 3.11 is needed: make PY=python3.12 ..."; exit 1; }
	@$(PY) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "Python's venv module is missing: on Debian, apt install python3-venv"; exit 1; }
	$(PY) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH) $(TORCH_ARGS)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
