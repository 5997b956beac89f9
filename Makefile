# make demo   train on photos that come with scikit-image, then test: tables, plots and GIFs
# make test   run the tests
# make lint   check the style
#
# Needs Python >= 3.9, git and make. For another interpreter: make PYTHON=python3.12 demo

PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
INSTALL := $(RUN) -m pip --disable-pip-version-check install --quiet --editable
DEMO_STEPS ?= 600
DEMO_OUT := out/demo
# Each worker loads Paddle, which takes up to 1 GB: more of them need more memory.
WORKERS ?= 2

.PHONY: demo test lint

# A demo that was interrupted continues. A demo that has finished is only tested again.
demo: $(VENV)/.installed-cpu
	$(RUN) train.py --stage 1..5 --steps $(DEMO_STEPS) --validate-every 200 --resume --out $(DEMO_OUT)
	$(RUN) test.py --weights $(DEMO_OUT)/stage5/best.safetensors
	$(RUN) test_video.py --weights $(DEMO_OUT)/stage5/best.safetensors

test: $(VENV)/.installed-dev
	$(RUN) -m pytest -q -n $(WORKERS) --dist loadgroup

lint: $(VENV)/.installed-dev
	$(RUN) -m ruff check .

# The environment is fresh and has no OpenCV, so it gets one. Each set of packages has a stamp file:
# the demo does not wait for the packages of the tests.
$(VENV)/.installed-cpu: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[cpu,opencv]'
	touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.installed-cpu
	$(INSTALL) '.[cpu,opencv,openvino,onnx,export,app,ray,dev]'
	touch $@
