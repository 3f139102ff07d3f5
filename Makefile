# The list of commands. PYTHON chooses the interpreter: make test PYTHON=python3.12
PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
DEV := .venv
TEST := .venv-test-$(VERSION)
LINT := .venv-lint
# Most tests wait for processes most of the time: two at once for each core. Who is done takes
# from who has most left: some tests take a hundred times as long as others.
PYTEST_ARGS ?= --dist worksteal -n $(shell $(PYTHON) -c 'import os; print(2 * len(os.sched_getaffinity(0)))' 2>/dev/null || echo auto)
DEBIAN_FOR_TESTS := rsync:rsync zstd:zstd unzip:unzip zip:zip acl:getfacl attr:getfattr \
	xz-utils:xz bzip2:bzip2 parallel:parallel tmux:tmux procps:ps util-linux:setsid sudo:sudo \
	chromium:chromium chromium-driver:chromedriver prometheus:promtool \
	gcc:gcc libc6-dev:gencat passwd:useradd openssh-server:sshd openssh-client:ssh libcap2-bin:setcap \
	busybox-static:busybox fish:fish tcsh:tcsh

.PHONY: help demo install packages wheel test soak lint format docs bench clean

help:
	@echo 'make demo     install into $(DEV) and run the guided tour, examples.yml'
	@echo 'make test     build the wheel and run the tests against it'
	@echo 'make soak     rounds of killing workers, commands and runs, for an hour'
	@echo 'make lint     ruff, mypy, import-linter, codespell'
	@echo 'make format   let ruff format the code'
	@echo 'make docs     write docs/reference/ from the program itself'
	@echo 'make bench    measure beside the peers, print the table'

# ---- use it ---------------------------------------------------------------------------------

demo: install
	$(DEV)/bin/batchrun examples.yml --procs 8 --insecure-permissions

install: $(DEV)/.installed

$(DEV)/.installed: pyproject.toml
	@.ci/python $(PYTHON)
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/python -m pip install --quiet --upgrade pip
	$(DEV)/bin/python -m pip install --quiet --editable '.[fast]'
	@touch $@

# ---- test it --------------------------------------------------------------------------------

packages:
	@.ci/python $(PYTHON)
	@.ci/debian $(DEBIAN_FOR_TESTS)

# The tests run against the built wheel, as users get it; the source tree is not on the path.
wheel:
	@.ci/python $(PYTHON)
	@.ci/wheel $(PYTHON) $(TEST)

# READY: both have been made already.
test: $(if $(READY),,packages wheel)
	PATH="$(CURDIR)/$(TEST)/bin:$$PATH" $(TEST)/bin/python -m pytest $(PYTEST_ARGS)

soak: packages wheel
	BATCHRUN_KILL_ROUNDS=10000 $(TEST)/bin/python -m pytest tests/fault -k rounds --timeout 3600

# ---- look at it -----------------------------------------------------------------------------

$(LINT)/.installed: pyproject.toml
	@.ci/python $(PYTHON)
	$(PYTHON) -m venv $(LINT)
	$(LINT)/bin/python -m pip install --quiet --upgrade pip
	$(LINT)/bin/python -m pip install --quiet --editable '.[lint,test]'
	@touch $@

lint: $(LINT)/.installed
	$(LINT)/bin/ruff check .
	$(LINT)/bin/ruff format --check .
	$(LINT)/bin/codespell
	$(LINT)/bin/lint-imports
	$(LINT)/bin/mypy

format: $(LINT)/.installed
	$(LINT)/bin/ruff check --fix .
	$(LINT)/bin/ruff format .

docs: install
	$(DEV)/bin/python docs/generate.py

bench:
	@.ci/debian parallel:parallel
	@.ci/wheel $(PYTHON) $(TEST)
	PATH="$(CURDIR)/$(TEST)/bin:$$PATH" $(TEST)/bin/python bench/all.py

clean:
	rm -rf .venv .venv-test-* .venv-lint build dist demo
