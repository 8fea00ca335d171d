# make demo   set up once, then edit a picture from words, offline, on a CPU
# make test   the same for the tests
DEMO_IMAGE = examples/demo.png
DEMO_FIND  = the red apple
DEMO_PAINT = a frog

PYTHON       ?=
PIP_ARGS     ?=
MINUTES      ?= 60
# loadgroup: the tests of the page share one server
PYTEST_FLAGS ?= -q -n 2 --dist loadgroup
VENV  = .venv
PY    = $(VENV)/bin/python
READY = $(VENV)/.ready
DEV   = $(VENV)/.ready-dev

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-fast wheel-test app lint docs site release audit soak miniature scores bench clean

# Many containers forbid Python to keep what it compiled: every start would then compile torch and
# transformers again, ten seconds of it. What is kept stays in .venv.
unexport PYTHONDONTWRITEBYTECODE

# Models are small: more threads than cores only get in each other's way.
test test-fast: export OMP_NUM_THREADS = 1
demo test docs scores bench: export HF_HUB_OFFLINE = 1

# pip, one line for each large file instead of hundreds; compiling every module of torch and
# transformers would take a minute, Python compiles the few that are used when it meets them
INSTALL = $(PY) -m pip install --disable-pip-version-check --no-input --progress-bar off --no-compile $(PIP_ARGS)
BRIEFLY = awk '/^ *(Downloading|Using cached) .*whl \(.*[MG]B\)/ { print "  " $$0 } \
	/^Installing collected/ { print "  installing" } { fflush() }'

help:
	@echo "make demo       edit $(DEMO_IMAGE) from words; the result is in out/"
	@echo "make test       run the tests"
	@echo "make test-fast  run those that load no model: under a minute"
	@echo "make wheel-test build the wheel and use it in an empty environment (uses PyPI)"
	@echo "make app        open the editor in a browser"
	@echo "make lint       check style, format, types and spelling"
	@echo "make docs       write the reference pages from the program"
	@echo "make site       build the documentation into build/site"
	@echo "make release AT=URL  check version and changelog, and build the wheel for PyPI"
	@echo "make audit      list all licences and look for known vulnerabilities (uses the network)"
	@echo "make miniature  train the three embedded models again (hours)"
	@echo "make scores     measure them on scenes they have not seen"
	@echo "make bench      measure speed and memory, and write docs/performance.md (about ten minutes)"
	@echo "make soak       batch, page and server at once, killed again and again (an hour; MINUTES=5 for less)"
	@echo "make clean      remove what these made, the environment too"

demo: $(READY)
	@$(PY) -m groundbrush edit "$(DEMO_IMAGE)" --find "$(DEMO_FIND)" --paint "$(DEMO_PAINT)" --seed 7 --out out

test: $(DEV)
	@$(PY) -m pytest $(PYTEST_FLAGS)

test-fast: $(DEV)
	@$(PY) -m pytest $(PYTEST_FLAGS) -m "not slow"

wheel-test: $(DEV)
	@$(PY) tests/check_wheel.py

app: $(READY)
	@$(PY) -m groundbrush app

# A folder that holds the package under its name, for tools that read the sources
$(VENV)/src/groundbrush: $(DEV)
	@mkdir -p $(@D) && ln -sfn ../.. $@

lint: $(DEV) $(VENV)/src/groundbrush
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@MYPYPATH=$(VENV)/src $(PY) -m mypy
	@$(PY) -m codespell_lib

docs: $(DEV)
	@$(PY) docs/build.py

site: $(DEV) $(VENV)/src/groundbrush
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build

release: $(DEV)
	@$(PY) docs/release.py --at "$(AT)"

# Without the network pip-audit lists what it could not check, and passes.
audit: $(DEV)
	@$(PY) docs/licences.py
	@$(INSTALL) --quiet pip-audit==2.10.1
	@$(PY) -m pip_audit --skip-editable --progress-spinner off

miniature: $(READY)
	@$(PY) -m groundbrush.miniature.train all

scores: $(READY)
	@$(PY) -m groundbrush.miniature.scores

bench: $(READY)
	@$(PY) -m benchmarks

soak: $(DEV)
	@GROUNDBRUSH_KILLS=30 $(PY) -m pytest -q tests/editor/batch/test_crashes.py
	@$(PY) -m benchmarks.soak --minutes $(MINUTES)

clean:
	rm -rf $(VENV) out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# PYTHON names the interpreter; without it the first of the usual ones that is new enough.
$(PY):
	@for python in $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python); do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Making $(VENV) with $$("$$python" --version)"; \
			"$$python" -m venv $(VENV) || { rm -rf $(VENV); echo "This Python cannot make a virtual" \
				"environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; \
			exit 0; \
		fi; \
	done; \
	echo "No Python 3.11 or newer found (tried: $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python))." \
		"Install one, or name it: make demo PYTHON=/path/to/python" >&2; exit 1

$(READY): requirements.txt pyproject.toml | $(PY)
	@echo "Installing what Groundbrush runs on (once; minutes, most of it torch)"
	@$(INSTALL) -r requirements.txt | $(BRIEFLY)
	@$(INSTALL) --quiet --no-deps --editable .
	@touch $@

$(DEV): requirements-dev.txt $(READY)
	@echo "Installing what the tests need"
	@$(INSTALL) -r requirements-dev.txt | $(BRIEFLY)
	@touch $@
