# make demo   the whole of it on photos that come with scikit-image: data, five stages, tables, GIFs
# make test   the test suite
# make lint   ruff
#
# Needs Python >= 3.9, git and make. Another interpreter: make PYTHON=python3.12 demo

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
DEMO_STEPS ?= 600

.PHONY: demo test lint clean

demo: $(VENV)/.installed-cpu
	$(BIN)/python train.py --stage 1..5 --steps $(DEMO_STEPS)
	$(BIN)/python test.py
	$(BIN)/python test_video.py

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .

clean:
	rm -rf $(VENV) data/demo out plots

# A stamp file per set of packages: demo installs what it runs, test and lint what they add.
$(VENV)/.installed-cpu: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[cpu]'
	touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.installed-cpu
	$(PIP) --editable '.[cpu,dev]'
	touch $@
