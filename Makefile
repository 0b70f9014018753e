# make demo         set up .venv, draw a street data set, train SANet-S on it, evaluate and predict
# make test         set up .venv and run every test;   make test STACK=B   the same on Paddle 2.6.2
# make test-quick   the tests that are not marked slow
# make lint         style and errors by ruff;   make types   types by mypy
# make docs         the documentation's site, in site/
# make coverage     every test, and the lines that none of them runs

SHELL := /bin/bash -o pipefail
PYTHON ?= python3
STACK ?= A
VENV = .venv$(STACK:A=)
BIN = $(VENV)/bin
export OMP_NUM_THREADS ?= $(shell nproc)
# Milliseconds that a thread waits awake for work. By default 200: Paddle's two thread pools disturb each other; with 0
# threads fall asleep between any two layers. Either makes a training step longer on 2 cores.
export KMP_BLOCKTIME ?= 1
# MKL takes its SSE2 kernels on AMD processors, even if they have AVX2 (paddleseg_ext/cpu.py)
ifeq ($(shell grep -m1 -o AuthenticAMD /proc/cpuinfo; grep -m1 -ow avx2 /proc/cpuinfo),AuthenticAMD avx2)
export MKL_DEBUG_CPU_TYPE ?= 5
endif

# The stacks that README.md lists; setup.py explains the limits
STACK_A = paddlepaddle==3.3.1 paddleseg==2.8.0
STACK_B = paddlepaddle==2.6.2 paddleseg==2.8.0 'protobuf<7' 'paddle2onnx<2'

DEMO = output/demo
DEMO_CONFIG = configs/sanet/sanet_s_street_256x128_230.yml
DEMO_MODEL = $(DEMO)/best_model/model.pdparams

.PHONY: demo test test-quick lint types docs coverage

demo: $(VENV)/ready
	$(BIN)/python tools/make_street_dataset.py --save_dir data/street --num_val 40 --num_test 12
	$(BIN)/python tools/train.py --config $(DEMO_CONFIG) --device cpu --seed 1 --do_eval --use_vdl \
	    --keep_checkpoint_max 1 --save_dir $(DEMO) --overwrite
	$(BIN)/python tools/predict.py --config $(DEMO_CONFIG) --device cpu --model_path $(DEMO_MODEL) \
	    --image_path data/street/leftImg8bit/test --save_dir $(DEMO)/predictions
	@echo; echo "Predictions:"; find $(DEMO)/predictions/added_prediction -name '*.png' | sort
	@echo "Curves:          $(BIN)/visualdl --logdir $(DEMO)"
	@echo "Validation mIoU: $$(sed -n 's/.*mIoU: \([0-9.]*\).*/\1/p' $(DEMO)/log.txt | tail -n 1)"
	@echo; echo "What next (after: source $(BIN)/activate):"
	@echo "  your own images      paddleseg-ext new_config --dataset_root FOLDER --network sanet_s --save_path my.yml"
	@echo "  what it has learnt   paddleseg-ext report --config $(DEMO_CONFIG) --model_path $(DEMO_MODEL) --device cpu"
	@echo "  to deploy it         paddleseg-ext export --config $(DEMO_CONFIG) --model_path $(DEMO_MODEL) --fold_bn"

# A file's tests share what they train and export, so they stay in one process; tests/conftest.py orders the files. One
# thread each: on images this small the threads of a process mostly wait for each other.
# One process more than cores: some tests wait, for a browser or a process that they end.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(shell expr $$(nproc) + 1) --maxprocesses 4 \
    --dist loadfile --no-loadscope-reorder

test: $(VENV)/ready-to-test
	$(PYTEST) $(TESTS)

test-quick: $(VENV)/ready-to-test
	$(PYTEST) -m 'not slow' $(TESTS)

coverage: $(VENV)/ready-to-test
	COVERAGE_FILE=$(CURDIR)/.coverage $(PYTEST) --cov --cov-report term-missing:skip-covered $(TESTS)

lint: $(VENV)/ready-to-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready-to-lint
	$(BIN)/mypy

docs: $(VENV)/ready-for-docs
	$(BIN)/mkdocs build --strict

$(VENV)/ready: setup.py pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --progress-bar on -e . $(STACK_$(STACK))
	touch $@

$(VENV)/ready-to-test: $(VENV)/ready
	$(BIN)/pip install --progress-bar on -e '.[test]' $(STACK_$(STACK))
	touch $@

$(VENV)/ready-to-lint: $(VENV)/ready
	$(BIN)/pip install --progress-bar on -e '.[lint]' $(STACK_$(STACK))
	touch $@

$(VENV)/ready-for-docs: $(VENV)/ready
	$(BIN)/pip install --progress-bar on -e '.[docs]' $(STACK_$(STACK))
	touch $@
