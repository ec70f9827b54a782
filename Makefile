# The only entry: `make` checks everything, `make demo` shows what imgdup does. Each target makes .venv where it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := dev

all: test

$(STAMP): pyproject.toml $(wildcard backend/*.py src/imgdup/native/*.[ch])
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	touch $(STAMP)

install: $(STAMP)

format: install
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: install
	$(BIN)/ruff format --check . && $(BIN)/ruff check .

typecheck: install
	$(BIN)/mypy

# Types are checked beside the tests, which do not need all cores all the time.
test: lint
	$(MAKE) --jobs typecheck pytest

# One process per core and one more, since some tests wait; the tests of one file stay in one process.
WORKERS = $(shell $(PYTHON) -c 'import os; print(1 + os.cpu_count())')
pytest: install
	$(BIN)/pytest -n $(WORKERS) --dist loadfile

demo: install
	$(BIN)/python data/make_sample.py build/sample
	cd build && ../$(BIN)/imgdup index sample --index .imgdup
	cd build && ../$(BIN)/imgdup query sample/originals/photo-00.jpg --index .imgdup --max-dist 10 --montage montage.png
	cd build && ../$(BIN)/imgdup dedupe sample --index .imgdup --protect sample/originals --plan plan.jsonl --report report.html
	@echo
	@echo "To look at the result, open these files in a browser:"
	@echo "  $(CURDIR)/build/report.html"
	@echo "  $(CURDIR)/build/montage.png"
	@echo "To search, compare and decide in a browser, run:"
	@echo "  $(BIN)/imgdup serve --index build/.imgdup --open"

man: install
	mkdir -p build
	$(BIN)/imgdup man > build/imgdup.1

# Longer work. DATA is the folder of real pictures that holds caltech-101; figures go to stdout.
DATA ?= $(IMGDUP_DATA)

bench: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS),bench]'
	$(BIN)/python benchmarks/bench_index.py --images $(DATA)/caltech-101
	$(BIN)/python benchmarks/bench_cluster.py --images $(DATA)/caltech-101
	$(BIN)/python benchmarks/bench_query.py --images $(DATA)/caltech-101
	$(BIN)/python benchmarks/bench_pairs.py --images $(DATA)/caltech-101
	$(BIN)/python benchmarks/bench_large.py
	$(BIN)/python benchmarks/bench_planner.py
	$(BIN)/python benchmarks/plot_pairs.py
	$(BIN)/python benchmarks/match_hash.py --images $(DATA)/caltech-101
	$(BIN)/python benchmarks/bench_dedupe.py --data $(DATA)
	$(BIN)/python benchmarks/bench_memory.py
	$(BIN)/python benchmarks/bench_page.py
	$(BIN)/python benchmarks/bench_overhead.py --images $(DATA)/caltech-101
	$(BIN)/python benchmarks/hostile_statuses.py --data $(DATA)/hostile

# The documentation site, in build/site; warnings are errors.
docs: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS),docs]'
	$(BIN)/python docs/draw_report.py docs/report.png
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

peers: install
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check pdqhash
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps imagededup
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check PyWavelets scikit-learn
	$(BIN)/python benchmarks/peers_pdqhash.py --images $(DATA)/caltech-101
	$(BIN)/python benchmarks/peers_imagededup.py --images $(DATA)/caltech-101

# With the packages of data sets themselves, in an environment of their own: 6 GB with PyTorch. The
# tests of a package that cannot be installed are skipped.
DATASETS = build/datasets/bin/python
test-datasets:
	$(PYTHON) -m venv build/datasets
	$(DATASETS) -m pip install --quiet --disable-pip-version-check '.[dev]'
	for packages in pandas polars datasets webdataset pycocotools "torch torchvision"; do \
		$(DATASETS) -m pip install --quiet --disable-pip-version-check $$packages \
			|| echo "not installed, so that its tests are skipped: $$packages"; \
	done
	$(DATASETS) -m pytest tests/api/test_dataset_packages.py tests/api/test_groups_objects.py tests/apply/test_sets_read_back.py

# Buckets on servers of other people: moto, fake-gcs-server and, with Node.js, Azurite (190 MB).
AZURITE = build/azurite/node_modules/.bin
test-servers: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS),servers]'
	npm install --silent --prefix build/azurite azurite || echo "not installed, so that its tests are skipped: azurite"
	PATH="$(abspath $(AZURITE)):$$PATH" $(BIN)/pytest tests/build/test_clouds.py

# The C sources without warnings, under the sanitizers for addresses and undefined behaviour.
sanitize: install
	$(BIN)/python backend/sanitize.py build/sanitize

# A wheel for each system, in dist/; those that run here are installed and tested.
wheels: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check ziglang
	$(BIN)/pytest tests/native/test_compiling.py
	$(BIN)/python backend/wheels.py dist

fuzz: install
	IMGDUP_FUZZ=600 IMGDUP_FUZZ_HEADS=500000 $(BIN)/pytest --timeout 3600 -k "fuzz or forged"
	$(BIN)/pytest --timeout 3600 --hypothesis-profile thorough tests/search tests/dedupe tests/query

# Requests that a program makes up from the OpenAPI document of the service: none may get a 5xx.
SCHEMATHESIS = build/schemathesis/bin
fuzz-serve: install
	$(PYTHON) -m venv build/schemathesis
	$(SCHEMATHESIS)/python -m pip install --quiet --disable-pip-version-check schemathesis
	$(BIN)/python data/make_sample.py build/sample
	$(BIN)/imgdup index build/sample --index build/.imgdup
	$(BIN)/imgdup serve --index build/.imgdup --port 8766 --token fuzzing-token & service=$$!; sleep 5; \
		cd build && ../$(SCHEMATHESIS)/schemathesis run http://127.0.0.1:8766/api/openapi.json \
			-H "Authorization: Bearer fuzzing-token" --max-examples 100 \
			--checks not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance; \
		result=$$?; kill $$service; exit $$result

soak: install
	IMGDUP_EVERY_LINE=1 $(BIN)/pytest --timeout 3600 -k "every_line or kill_series"
	$(BIN)/python benchmarks/soak.py
	$(BIN)/python benchmarks/soak_serve.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

.PHONY: all install format lint typecheck test pytest test-datasets test-servers demo man docs bench peers sanitize wheels fuzz fuzz-serve soak clean
