# make alone says what each target does.

PYTHON = python3

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1	\2/p' Makefile | expand -t 20

demo: ## a real worker goes through its life while health.sh looks on (half a minute)
	@$(PYTHON) examples/demo.py

test: .venv/ready ## every test; as root it installs missing shells and tools first
	@sh tests/all.sh

lint: .venv/ready ## ruff, mypy and shellcheck; silent if all is well
	@sh tests/lint.sh

clean: ## remove what the other targets made
	rm -rf .venv build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/ready: setup.py pyproject.toml tests/venv.sh
	@PYTHON='$(PYTHON)' sh tests/venv.sh

.PHONY: help demo test lint clean
