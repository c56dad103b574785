PYTHON ?= python3
PIP_FLAGS ?= --quiet --disable-pip-version-check
BIN := .venv/bin

.PHONY: setup help demo test lint docs table-mnist clean

setup: .venv/ready  ## the environment, .venv

# The environment is made anew from what pyproject.toml says whenever that is newer.
.venv/ready: pyproject.toml
	@echo "setting up .venv: torch is a large download the first time"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(PIP_FLAGS) --editable '.[dev]'
	touch $@

help:  ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: .venv/ready  ## the main job in small, offline: a printed table and a picture
	$(BIN)/python -m binlit.train -m +experiment=demo hydra/launcher=joblib
	$(BIN)/python -m binlit.report outputs/demo

test: .venv/ready  ## the tests, offline
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: .venv/ready  ## style and types: ruff, pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# What the site is built with is not needed for anything else.
.venv/docs: .venv/ready
	$(BIN)/python -m pip install $(PIP_FLAGS) --editable '.[docs]'
	touch $@

docs: .venv/docs  ## the documentation as a site, into build/site; links are checked
	PYTHONPATH=src NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

table-mnist: .venv/ready  ## docs/results/mnist_table, trained again; needs MNIST and hours
	$(BIN)/python -m binlit.train -m +experiment=mnist_table hydra/launcher=joblib; \
	status=$$?; $(BIN)/python -m binlit.report outputs/mnist_table --out docs/results/mnist_table && exit $$status

clean:  ## removes the environment and what tools keep
	rm -rf .venv build dist .pytest_cache .ruff_cache
