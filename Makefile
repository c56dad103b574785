# make demo    the main job in small, offline: a printed table and a picture
# make test    the tests, offline
# make docs    the documentation as a site, into build/site; links are checked
PYTHON ?= python3
PIP_FLAGS ?= --quiet --disable-pip-version-check
BIN := .venv/bin

.PHONY: setup demo test lint docs table-mnist clean

setup: .venv/ready

# The environment is made anew from what pyproject.toml says whenever that is newer.
.venv/ready: pyproject.toml
	@echo "setting up .venv: torch is a large download the first time"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(PIP_FLAGS) --editable '.[dev]'
	touch $@

demo: .venv/ready
	$(BIN)/python -m binlit.train -m +experiment=demo hydra/launcher=joblib
	$(BIN)/python -m binlit.report outputs/demo

test: .venv/ready
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# What the site is built with is not needed for anything else.
.venv/docs: .venv/ready
	$(BIN)/python -m pip install $(PIP_FLAGS) --editable '.[docs]'
	touch $@

docs: .venv/docs  ## the documentation as a site, into build/site; links are checked
	PYTHONPATH=src NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

table-mnist: .venv/ready
	$(BIN)/python -m binlit.train -m +experiment=mnist_table hydra/launcher=joblib; \
	status=$$?; $(BIN)/python -m binlit.report outputs/mnist_table --out docs/results/mnist_table && exit $$status

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache
