# make demo: the pipeline on embedded pictures, to a report.   make demo-all: the same with every method.
# make test: the tests.   All install into .venv first.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
SNAKEMAKE := $(VENV)/bin/snakemake --cores all

.PHONY: demo demo-all examples test test-long test-slurm bench lint format prune

$(READY): requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sslbench: Python 3.11 or newer is needed; name one with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	touch $@

demo: $(READY)
	$(SNAKEMAKE) --configfile configs/demo.yaml
	@echo "The report: $(CURDIR)/reports/demo/report.html"

demo-all: $(READY)
	$(SNAKEMAKE) --configfile configs/demo-all.yaml
	@echo "The report: $(CURDIR)/reports/demo-all/report.html"

# The pages of reports/examples from the inputs committed there; trains nothing.
examples: $(READY)
	$(VENV)/bin/python -m sslbench.report.example render

# A process for every core, each with whole files, the longest first: see tests/conftest.py.
SIDE_BY_SIDE := --numprocesses auto --dist loadfile --no-loadscope-reorder

test: $(READY)
	$(VENV)/bin/python -m pytest $(SIDE_BY_SIDE)

# All tests with their long forms: many kills, faults and hostile inputs. Their tables: docs/reliability.md.
test-long: $(READY)
	rm -f tally.jsonl
	SSLBENCH_TALLY=$(CURDIR)/tally.jsonl $(VENV)/bin/python -m pytest -m "long or not long" $(SIDE_BY_SIDE)
	$(VENV)/bin/python -m tests.reliability tally.jsonl

# On a Slurm of one node that the tests start and stop, as root; a missing one is installed where apt-get is.
# LONG=1: the demonstration's grid too.
test-slurm: $(READY)
	@command -v slurmctld > /dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends munge slurm-wlm > /dev/null; } || \
	  echo "sslbench: Slurm is not installed and could not be; its tests are skipped"
	$(VENV)/bin/python -c 'import snakemake_executor_plugin_slurm' 2> /dev/null || \
	  $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check "snakemake-executor-plugin-slurm>=2.8" || true
	SSLBENCH_SLURM=1 $(VENV)/bin/python -m pytest -rs tests/workflow/slurm $(if $(LONG),-m "long or not long")

# Everything against its peers, into one table. QUICK=1: small, to see that it works. ARCHIVE=file: real JPEGs.
# BENCH_PYTHON=python: an environment that has the peers, too (benchmarks/README.md).
BENCH_PYTHON ?= $(VENV)/bin/python
bench: $(READY)
	$(BENCH_PYTHON) -m benchmarks.run_all $(if $(QUICK),--quick) $(if $(ARCHIVE),--archive $(ARCHIVE))

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/snakefmt --check Snakefile workflow
	$(VENV)/bin/snakemake --lint

format: $(READY)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/snakefmt Snakefile workflow

# Shows what the store holds that no result uses; `make prune YES=1` deletes it.
prune: $(READY)
	$(VENV)/bin/python -m sslbench.jobs.prune $(if $(YES),--yes)
