# Each target makes the virtual environment it needs. `make demo` for a first look, `make test` for everything.
PYTHON ?= python3
RECORDING ?= examples/scene.opus
PIP = bin/python -m pip --disable-pip-version-check
READY = .venv/ready

.PHONY: demo test check bench python

demo: python
	$(PYTHON) -m venv --clear .venv-demo
	.venv-demo/$(PIP) install --quiet -c constraints.txt . ./models/base
	.venv-demo/bin/tercet listen $(RECORDING) --output_format timeline

test: $(READY)
	.venv/bin/python -m pytest -n 2 --dist loadfile

check: $(READY)
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

bench: $(READY)
	.venv/bin/python benchmarks/speed.py

# torch comes first and alone, so that the peers' own wish for it is met by the version in constraints.txt
$(READY): pyproject.toml constraints.txt models/base/pyproject.toml | python
	$(PYTHON) -m venv --clear .venv
	.venv/$(PIP) install --quiet "pip>=25.1"
	.venv/$(PIP) install --quiet -c constraints.txt torch
	.venv/$(PIP) install --quiet -c constraints.txt -e ".[torch,data,eval,train]" --group test --group check -e ./models/base
	touch $@

python:
	@$(PYTHON) -c "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null || \
		{ echo "needs Python 3.11 or newer with venv: 'apt install python3-venv', or make PYTHON=python3.12 ..."; exit 1; }
