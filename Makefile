# `make run` and `make test` are all that a fresh machine needs; the rest is for who works on it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-boot test-faults test-hurt test-install proof fuzz lint format bench bench-images soak docs pyz \
	standalone interpreter packages test-oldest clean

# 1 says that the host is not ready: that is an answer, not a failure of make.
run: $(VENV)/run.stamp
	@$(BIN)/hostcheck || test $$? -eq 1

test: $(VENV)/test.stamp
	$(BIN)/pytest

# All images of Debian 11, 12, 13 and sid booted in QEMU, and the units of the deb in them, as root; an hour.
test-boot: $(VENV)/test.stamp
	$(BIN)/python packaging/packages.py --no-executables
	HOSTCHECK_ALL_BOOTS=1 $(BIN)/pytest tests/boot

# Each package and file in roots of Debian 11, 12, 13 and sid that have nothing else, and all that is built twice, as
# root; an hour, and ten minutes more the first time, in which the Pythons of the executables are compiled.
test-install: $(VENV)/test.stamp
	$(BIN)/python -m pip --disable-pip-version-check -q install -e '.[standalone]'
	HOSTCHECK_ALL_INSTALLS=1 $(BIN)/pytest tests/packaging

# Every fault on the real engines of Debian 12, 13 and sid; half an hour, as root.
test-faults: $(VENV)/test.stamp
	HOSTCHECK_ALL_FAULTS=1 $(BIN)/pytest tests/engine/test_faults.py tests/engine/test_real_podman.py

# The same, and what was seen goes into docs/proof.md.
proof: $(VENV)/test.stamp
	$(BIN)/python scripts/proof.py

# Generated daemon.json files, judged here and by three real dockerd, as root; then the larger parsers, FUZZ_SECONDS
# (60) each. atheris is no part of the test extra: it is made for few versions of Python.
fuzz: $(VENV)/test.stamp
	$(BIN)/python scripts/fuzz_daemon_json.py
	$(BIN)/python -m pip --disable-pip-version-check -q install atheris
	$(BIN)/python scripts/fuzz_parsers.py

# Everything that may lie at any path that a check looks at; half an hour.
test-hurt: $(VENV)/test.stamp
	HOSTCHECK_ALL_HURTS=1 $(BIN)/pytest tests/test_hostile_inputs.py

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/test.stamp
	$(BIN)/python scripts/docs.py

bench: $(VENV)/test.stamp
	$(BIN)/python scripts/bench.py
	$(BIN)/python scripts/bench_exporter.py

# The exporter over SOAK_RUNS (10000) runs: its memory and open files; a few minutes.
soak: $(VENV)/test.stamp
	$(BIN)/python scripts/soak.py --runs $(or $(SOAK_RUNS),10000)

# A root of 1 GiB as a folder and as an image, sixteen images, and a machine booted from one; as root, 3 GiB of disk.
bench-images: $(VENV)/test.stamp
	$(BIN)/python scripts/bench_images.py

# One file for any Python from 3.9 on. PYZ_PYTHONS start it from bytecode, others compile it at each start.
PYZ_PYTHONS ?= $(PYTHON)
pyz: $(VENV)/run.stamp
	$(BIN)/python packaging/pyz.py dist/hostcheck.pyz $(PYZ_PYTHONS)

# An executable each for amd64 and arm64 that needs no Python; ten minutes the first time, in which two are compiled.
standalone: $(VENV)/run.stamp
	$(BIN)/python -m pip --disable-pip-version-check -q install -e '.[standalone]'
	$(BIN)/python packaging/standalone/build.py dist

# The Python of the executable for this processor alone, without which its tests skip; five minutes on two processors.
interpreter: $(VENV)/run.stamp
	$(BIN)/python -m pip --disable-pip-version-check -q install -e '.[standalone]'
	$(BIN)/python packaging/standalone/interpreter.py

# Wheel, sdist, deb, rpm, pyz, executables, bills of materials and checksums, in dist/; the same bytes for the same commit.
packages: $(VENV)/run.stamp
	$(BIN)/python -m pip --disable-pip-version-check -q install -e '.[exporter,packages,standalone]'
	$(BIN)/python packaging/packages.py $(PYZ_PYTHONS)

# The lower bounds of setup.cfg, which are what Debian 12 ships.
test-oldest:
	rm -rf .venv/oldest
	$(PYTHON) -m venv .venv/oldest
	.venv/oldest/bin/pip -q install rich==13.3.1 'PyYAML==6.0.*' prometheus-client==0.16.0 pytest==7.2.1 hypothesis==6.67.1 jsonschema==4.10.3
	.venv/oldest/bin/python -m pytest -m 'not engine and not qemu'

$(VENV)/bin/python:
	@$(PYTHON) -m venv $(VENV) || { echo "A virtual environment could not be made. Debian, Ubuntu: apt-get install python3-venv"; exit 1; }
# Debian 11 has an older one, which cannot install a checkout in place; where it is new enough nothing is fetched.
	@$(VENV)/bin/python -m pip --disable-pip-version-check -q install 'pip>=21.3'

$(VENV)/run.stamp: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip --disable-pip-version-check -q install -e .
	@touch $@

$(VENV)/test.stamp: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip --disable-pip-version-check -q install -e '.[test,images,exporter,packages]'
	@touch $@ $(VENV)/run.stamp

clean:
	rm -rf $(VENV) .venv/oldest build dist *.egg-info
