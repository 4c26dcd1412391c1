# make demo, make reproduce, make test, make test-slow: each sets up .venv first, once. Choices: PYTHON=python3.10, TF=cpu or gpu.

PYTHON ?= python3.11 python3.10 python3.9 python3 python
TF ?= $(shell nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu)
PY = .venv/bin/python
READY = .venv/.installed-$(TF)
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo reproduce test test-slow lint bench gpu bazel clean
.DELETE_ON_ERROR:

demo: $(READY)
	@$(PY) -m vie_tf.demo

reproduce: $(READY)
	@$(PY) -m data_prep.moving_digits --out=reproduce/digits/videos
	@$(PY) -m data_prep.videos --source=reproduce/digits/videos/videos.csv --out=reproduce/digits/prepared --short_side=64
	@$(PY) -m benchmarks.reproduce --data=reproduce/digits/prepared --settings=flags/digits --labels=label,motion --out=reproduce/digits

test: lint
	@$(PY) tests/in_parts.py --anew

# Hours. Stopped or failed, it goes on with the files that have not passed; TESTS chooses some.
test-slow: $(READY)
	@$(PY) tests/in_parts.py -m slow --files=1 --times=docs/slow_tests.md $(TESTS)

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
	rm -rf .venv build demo reproduce *.egg-info .pytest_cache .ruff_cache

$(READY): setup.py
	@.ci/setup $(TF) $(PYTHON)
	@touch $@
