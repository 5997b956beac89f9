# make demo   all of it on photos that come with scikit-image: data, five stages, tables, GIFs
# make test   the test suite
# make lint   ruff
#
# Needs Python >= 3.9, git and make. Another interpreter: make PYTHON=python3.12 demo

PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
INSTALL := $(RUN) -m pip --disable-pip-version-check install --quiet --editable
DEMO_STEPS ?= 600
DEMO_OUT := out/demo

.PHONY: demo test lint

# An interrupted demo goes on where it was; a finished one is only tested again.
demo: $(VENV)/.installed-cpu
	$(RUN) train.py --stage 1..5 --steps $(DEMO_STEPS) --validate-every 200 --resume --out $(DEMO_OUT)
	$(RUN) test.py --weights $(DEMO_OUT)/stage5/best.safetensors
	$(RUN) test_video.py --weights $(DEMO_OUT)/stage5/best.safetensors

test: $(VENV)/.installed-dev
	$(RUN) -m pytest -q

lint: $(VENV)/.installed-dev
	$(RUN) -m ruff check .

# A stamp file for each set of packages: the demo does not wait for those of the tests.
$(VENV)/.installed-cpu: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[cpu]'
	touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.installed-cpu
	$(INSTALL) '.[cpu,fast,openvino,onnx,dev]'
	touch $@
