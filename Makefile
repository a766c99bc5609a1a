# The two README commands are `make report` and `make test`; everything else supports them.
# PYTHON names the interpreter of the environment; empty: the first fitting one of python3, python3.13, python3.12, python3.11.
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin

# Byte code is written once, or every process of a run and of the tests would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: report test test-slow test-spark bench setup setup-spark lint lock edition clean help
.DEFAULT_GOAL := report

help:  ## what each target does
	@grep -hE "^[a-z-]+:.*## " $(MAKEFILE_LIST) | sed -E "s/:.*## /\t/" | expand -t 12

report: setup  ## the report of the first study from a synthetic extract
	@$(BIN)/p4equity run

# Style and types run beside the tests and say their part after them; one or the other failing fails both. Each file goes to one of
# two workers, in the order that tests/conftest.py gives, so that what a file shares is made once.
test: setup  ## style, types, import layers and tests
	@($(STYLE)) >$(VENV)/lint.log 2>&1 & lint=$$!; \
	  $(BIN)/python -m pytest -q -m "not slow and not spark" -n 2 --dist loadfile --no-loadscope-reorder tests; tests=$$?; \
	  wait $$lint; style=$$?; cat $(VENV)/lint.log; \
	  [ $$tests -eq 0 ] && [ $$style -eq 0 ]

# The long simulations behind the claims on size and coverage.
test-slow: setup  ## the long simulations
	@$(BIN)/python -m pytest -q -m slow -n 2 tests

# The cells of Spark and DuckDB, integer for integer, and what happens when Spark dies. Needs Java 17 or 21.
test-spark: setup-spark  ## the Spark engine against DuckDB
	@$(BIN)/python -m pytest -q -m spark tests/spark

# What the toolkit takes beside a bare scan, beside other libraries and as members grow; half an hour on two idle cores. Options:
# MEMBERS=120000, GROWTH=10 (that size too), ONLY=scans,plan, QUICK=1.
bench: setup $(VENV)-bench/.ready  ## the benchmark: ratios, peak memory, growth
	@PYTHONPATH=analysis $(BIN)/python -m bench $(if $(MEMBERS),--members $(MEMBERS)) $(if $(GROWTH),--growth $(GROWTH)) \
	  $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick)

# The libraries it is compared with have an environment and a hash-pinned lock of their own; the package needs none of them.
$(VENV)-bench/.ready: requirements-bench.lock | $(VENV)/.ready
	@echo "Setting up $(VENV)-bench, the libraries to compare with: $$(grep -c '==' $<) pinned packages, 1.2 GB."
	@rm -rf $(VENV)-bench && $(BIN)/python -m venv $(VENV)-bench
	@$(VENV)-bench/bin/python -m pip install --quiet --require-hashes -r $<
	@cp $< $@

STYLE = $(BIN)/ruff check . \
  && { $(BIN)/ruff format --check -q . || { echo "format with: $(BIN)/ruff format ."; exit 1; }; } \
  && $(BIN)/mypy && $(BIN)/lint-imports

lint: setup  ## style, types and import layers alone
	@$(STYLE)

setup: $(VENV)/.ready  ## the environment in .venv from the hash-pinned lock

# Made again whenever the lock changes; the script says what is missing and how to mend it.
$(VENV)/.ready: requirements.lock pyproject.toml
	@sh .ci/setup.sh "$(PYTHON)" "$(VENV)"

setup-spark: $(VENV)/.spark  ## Spark in .venv, from its own hash-pinned lock

# pyspark is published as source only: what builds it is pinned as well, and installed first.
$(VENV)/.spark: requirements-spark.lock $(VENV)/.ready
	@echo "Adding Spark to $(VENV): $$(sed -n 's/==.*//p' $< | paste -sd ' '), about 450 MB."
	@sed -n '/^setuptools==/,/[^\\]$$/p' $< >$(VENV)/builder.lock
	@$(BIN)/python -m pip install --quiet --require-hashes -r $(VENV)/builder.lock
	@$(BIN)/python -m pip install --quiet --require-hashes --no-build-isolation --use-pep517 -r $<
	@cp $< $@

# For maintainers: refresh the lock (needs uv).
lock:
	uv pip compile pyproject.toml --extra test --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header -o requirements.lock
	sed -n 's/^spark = \["\(.*\)"\]$$/\1", "setuptools/p' pyproject.toml | sed 's/", "/\n/g' | uv pip compile - \
	  --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements-spark.lock
	sed -n 's/^bench = \["\(.*\)"\]$$/\1/p' pyproject.toml | sed 's/", "/\n/g' | uv pip compile - --constraint requirements.lock \
	  --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements-bench.lock

# Make the committed synthetic edition again, after a change that moves numbers.
edition: setup  ## the committed synthetic edition again
	@$(BIN)/p4equity run --out reports/runs/edition
	@$(BIN)/p4equity release reports/runs/edition reports/editions/synthetic

clean:
	rm -rf $(VENV) $(VENV)-bench reports/runs .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
