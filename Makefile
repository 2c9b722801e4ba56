# Everything a developer or a first-time user calls. `make help` lists it.
# The virtual environment is .venv; its stamp carries the checksum of what was asked for, so that a target installs once.

VENV  := .venv
PY    := $(VENV)/bin/python
PAGE  := api/geoseg_api/page/vendor
PEERS := .venv-peers
STAMP := $(VENV)/.stamp-$(shell cat pyproject.toml constraints.txt | cksum | cut -d ' ' -f 1)
ARGS  ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-services demo page wheel test hunt fuzz soak guards audit check format bench bench-efficiency bench-memory bench-peers oddities reference clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## Make .venv and install the pinned versions (the other targets do it when needed)

demo-data/catalog.json: | $(STAMP)
	$(PY) -m geoseg demo demo-data

demo: $(STAMP) demo-data/catalog.json ## Map the embedded region and say where the map is
	$(PY) -m geoseg run --aoi demo-data/region.geojson --catalog demo-data/catalog.json --workflow demo --out demo-data/map

test: $(STAMP) ## Run the tests in two processes (ARGS="tests/polygons -x" for some of them)
	@$(MAKE) --no-print-directory page || echo "The tests of the map page are skipped." >&2
	$(PY) -m pytest -n 2 --dist loadfile $(ARGS)

hunt: $(STAMP) ## Kill runs, servers and workers 200 times at random moments, and read through 200 schedules of faults (takes an hour)
	$(PY) -m pytest tests/faults/test_g_hunt.py tests/faults/test_c_remote.py -k "hunt or schedules" --hunts 200 --schedules 200 $(ARGS)

fuzz: $(STAMP) ## Spoil what comes from outside, a quarter of an hour for each door (ARGS="--fuzz-seed 1")
	$(PY) -m pytest tests/fuzzing -n 2 -rP --fuzz-seconds 900 $(ARGS)

soak: $(STAMP) ## Do mixed jobs for an hour and see that nothing grows (ARGS="--hours 0.25")
	$(PY) -u -m geoseg.bench soak $(ARGS)

audit: $(STAMP) ## Ask the network whether a pinned version has a known hole, in an environment of its own
	$(PY) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --disable-pip-version-check -q pip-audit
	.venv-audit/bin/pip-audit --strict --no-deps --disable-pip -r constraints.txt $(ARGS)

guards: $(STAMP) ## Take each guard of docs/security.md away, and see its test fail
	$(PY) tests/guards.py $(ARGS)

check: $(STAMP) ## Formatting, lint, types, and who may import whom
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

format: $(STAMP) ## Format the code and fix what can be fixed safely
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: $(STAMP) ## Set geoseg beside other tools: time, memory, labels (ARGS="--repeat 1"); docs/benchmarks.md takes the table
	$(PY) -m geoseg.bench peers --folder bench-out --peers-python $(PEERS)/bin/python --record docs $(ARGS)

bench-efficiency: $(STAMP) ## Time the run on generated scenes
	$(PY) -m geoseg.bench efficiency $(ARGS)

bench-memory: $(STAMP) ## Measure the memory of a run
	$(PY) -m geoseg.bench memory

# Over .venv, so that all of them run the same torch; what a peer wants in another version lies above it.
bench-peers: $(STAMP) ## Make .venv-peers, where the tools live that geoseg is set beside
	$(PY) -m venv $(PEERS)
	$(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$($(PEERS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/geoseg-venv.pth"
	$(PEERS)/bin/python -m pip install --disable-pip-version-check -r geoseg/bench/peers/requirements.txt

oddities: $(STAMP) ## Say what becomes of each raster and item of some folders (ARGS="FOLDER… --markdown")
	$(PY) -m geoseg.bench oddities $(ARGS)

setup-services: ## Install what tests want beside Python (PostgreSQL, a browser, npm), where that is allowed (test does it)
	@.ci/services

test: setup-services

reference: $(STAMP) ## Write docs/reference from docstrings, fields and options
	$(PY) docs/make_reference.py

# The map page draws with a library that is not part of the repository: npm gets it, and a checksum is held against it.
$(PAGE)/LICENSE.txt: api/page_library.py | $(STAMP)
	$(PY) api/page_library.py $(TARBALL)

page: $(PAGE)/LICENSE.txt ## Get the library of the map page (TARBALL=FILE: from a file instead of npm)

wheel: $(STAMP) $(PAGE)/LICENSE.txt ## Build the wheel with the map page into dist/
	$(PY) -m build --wheel --no-isolation

clean: ## Remove what the other targets made, .venv included
	rm -rf $(VENV) $(PEERS) .venv-audit $(PAGE) demo-data geoseg-out bench-out dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find geoseg api tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The first Python that is new enough, tried by running it: a launcher may be on the PATH without its Python.
$(STAMP):
	@found=; for python in $(PYTHON) python3.12 python3; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "given:    $$(python3 --version 2>/dev/null || echo 'no Python') on the PATH" >&2; \
		echo "expected: Python 3.12 or newer, as python3.12 or python3" >&2; \
		echo "to do:    install it, or name one: make PYTHON=/path/to/python3.12" >&2; \
		exit 1; \
	fi; \
	"$$found" -m venv $(VENV)
	$(PY) -m pip install --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	@rm -f $(VENV)/.stamp-*
	@touch $@
