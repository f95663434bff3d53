# Two commands are enough: `make up` and `make test`. Each does all the set-up it needs first; a second run only looks.
# What `capstone up` should be told goes into UP_ARGS: make up UP_ARGS="--scale medium"

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install up down status doctor test lint format docs manifest

UP_ARGS ?=
DOWN_ARGS ?=
# Whole files of tests side by side, a process for each core: each process has engines of its own, 1 GB with a platform.
TEST_ARGS ?= --numprocesses logical --maxprocesses 4 --dist loadfile
BIN := .venv/bin

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## set up: virtual environment, locked packages, PostgreSQL, TimescaleDB, Redis
	@sh orchestration/engines/install/run.sh

up: install ## set up, then start and fill the platform; returns when it is ready (UP_ARGS="--scale medium")
	@$(BIN)/capstone up $(UP_ARGS)

down: ## stop the platform and keep its data (DOWN_ARGS=--destroy removes them)
	@$(BIN)/capstone down $(DOWN_ARGS)

status: ## what runs where
	@$(BIN)/capstone status

doctor: ## what is missing, and the command that mends it
	@$(BIN)/capstone doctor

test: install ## set up, then run all tests on engines of their own (TEST_ARGS="tests/unit -k name")
	@$(BIN)/pytest $(TEST_ARGS)

lint: install ## ruff, mypy, sqlfluff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint sql expectations dbt_project/models dbt_project/tests

format: install ## let ruff and sqlfluff mend what they can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix sql expectations dbt_project/models dbt_project/tests

docs: install ## rebuild the dbt docs of the running platform (every proof writes the data docs)
	@$(BIN)/capstone materialize 'group:na_docs or group:eu_docs or group:apac_docs'

manifest: install ## parse the dbt project; whatever loads the Dagster definitions does it by itself
	@$(BIN)/python -c "from orchestration.dbt.manifest import prepare_manifest; prepare_manifest()"
