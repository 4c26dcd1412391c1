# make demo, make reproduce, make test, make test-slow: each sets up .venv first, once. Choices:
# PYTHON=python3.13, TF=cpu, gpu, cpu-newest or gpu-newest, VENV=.venv-other, CONSTRAINTS=lowest.
# PYTHON has no effect on an environment that exists: run make clean, or name another VENV.

PYTHON ?= python3.11 python3.10 python3.9 python3.13 python3.12 python3 python
TF ?= $(shell nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu)
VENV ?= .venv
PY = $(VENV)/bin/python
READY = $(VENV)/.installed-$(TF)$(CONSTRAINTS:%=-%)
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo reproduce test test-slow newest lint bench gpu bazel clean
.DELETE_ON_ERROR:

demo: $(READY)
	@$(PY) -m vie_tf.demo

reproduce: $(READY)
	@$(PY) -m data_prep.moving_digits --out=reproduce/digits/videos
	@$(PY) -m data_prep.videos --source=reproduce/digits/videos/videos.csv --out=reproduce/digits/prepared --short_side=64
	@$(PY) -m benchmarks.reproduce --data=reproduce/digits/prepared --settings=flags/digits --labels=label,motion --out=reproduce/digits

test: lint
	@$(PY) tests/in_parts.py --anew $(TESTS)

# Half an hour. Stopped or failed, it goes on with the files that have not passed; TESTS chooses some.
test-slow: $(READY)
	@$(PY) tests/in_parts.py -m slow --times=docs/slow_tests.md $(TESTS)

# Installs the newest release of everything, tests it, and then keeps its list in constraints/.
newest: TF = cpu
newest:
	@CONSTRAINTS=no .ci/setup .venv-newest $(TF) $(if $(filter file,$(origin PYTHON)),python3.13 python3.12,$(PYTHON))
	@.venv-newest/bin/python tests/in_parts.py --anew
	@.venv-newest/bin/python -m pip freeze --exclude-editable > constraints/$$(.venv-newest/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')$(TF:cpu%=%).txt

lint: $(READY)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

bench: $(READY)
	@set -e; for name in training_step local_aggregation input_pipeline; do echo "== $$name"; $(PY) -m benchmarks.$$name; done

# On a machine with a GPU. With GPU_PYTHON nothing is installed; TORCH is an interpreter with PyTorch.
gpu: $(if $(GPU_PYTHON),,$(READY))
	@$(or $(GPU_PYTHON),$(PY)) -m benchmarks.gpu --out=benchmarks/results/gpu.txt --torch_python=$(TORCH) $(if $(PARTS),--parts=$(PARTS))

bazel:
	bazel query //...
	bazel build --nobuild //...

clean:
	rm -rf .venv* build demo reproduce *.egg-info .pytest_cache .ruff_cache

$(READY): setup.py .ci/setup $(wildcard constraints/*.txt)
	@.ci/setup $(VENV) $(TF) $(PYTHON)
	@touch $@
