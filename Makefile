# make setup   what all of it needs, and no more
# make demo    one day of a real feeder, from the meter's pulse to a receipt (KEEP=1 stays up)
# make test    every test
# make check   formatter, linter, types
# make bench   what this machine can do, beside its limits
# make clean   removes what these made, the virtual environment included
#
# Each but clean sets up first what it needs (setup.sh): Debian packages, .venv, Python packages.

PYTHON ?= python3
BIN := .venv/bin
.PHONY: help demo test check bench clean setup
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# //p' Makefile

setup:
	@PYTHON=$(PYTHON) ./setup.sh

demo: setup
	@$(BIN)/gridwitness demo $(if $(KEEP),--keep) $(DEMO_ARGS)

test: setup
	$(BIN)/pytest $(PYTEST_ARGS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: setup
	@$(BIN)/gridwitness bench $(BENCH_ARGS)

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
