# The commands of the project. Each makes what it needs: python3 and make are enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CONFIG ?= conf/smppbridge.toml

.PHONY: run test check fmt bench prove prove-long clean

run: $(VENV)/.ready          ## start the gateway on the embedded default, ready for a client
	$(BIN)/smppbridge serve --config $(CONFIG)

test: $(VENV)/.ready         ## run the tests
	$(BIN)/python -m pytest

check: $(VENV)/.ready        ## format, lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(VENV)/.ready          ## let ruff rewrite what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.ready        ## measure what is claimed about speed and memory
	$(BIN)/python -m bench

prove: $(VENV)/.ready        ## break the gateway in every way and count what is lost: minutes
	$(BIN)/python -m tests.prove --jobs 2 $(SUBJECTS)

prove-long: $(VENV)/.ready   ## the same with the full counts, into docs/evidence: hours
	$(BIN)/python -m tests.prove --long --into docs/evidence $(SUBJECTS)

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group dev -e .
	touch $@
