# make alone says what each target does.

PYTHON = python3
PREFIX = /usr/local
DESTDIR =

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/  make \1	\2/p' Makefile | expand -t 24

demo: ## a real worker goes through its life while health.sh looks on (a few seconds)
	@$(PYTHON) examples/demo.py

test: .venv/ready ## every test; as root it installs missing shells and tools first
	@sh tests/all.sh

check: .venv/ready ## lint, and the tests of the core under dash and bash (less than a minute)
	@sh tests/check.sh

test-pythons: .venv/ready ## pytest on each of Python 3.10 to 3.13 that is found
	@sh tests/pythons.sh

test-frameworks: .venv/ready ## the tests of each integration on older versions of its framework
	@sh tests/frameworks.sh

e2e: .venv/ready ## a real kubelet runs the probes (root; the first time it is built, in minutes)
	@tests/e2e/run.sh

bench: .venv/ready ## what probe, verbs and endpoints cost, beside what people use today (four minutes)
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@.venv/bin/python bench/probe.py
	@.venv/bin/python bench/verbs.py
	@.venv/bin/python bench/checks.py
	@.venv/bin/python bench/of_flask.py
	@.venv/bin/python bench/of_django.py
	@.venv/bin/python bench/middlewares.py
	@.venv/bin/python bench/plot.py

bench-e2e: .venv/ready ## what one probe costs on a node, through containerd (root)
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@tests/e2e/run.sh bench/exec_sync.py
	@.venv/bin/python bench/plot.py

lint: .venv/ready ## ruff, mypy and shellcheck; silent if all is well
	@sh tests/lint.sh

HTML = --html --css-include=doc/texinfo/manual.css --set-customization-variable FORMAT_MENU=menu

info: build/liveness.info ## the manual for info
html: build/liveness.html ## the manual as one page

build/liveness.info build/liveness.html: doc/texinfo/liveness.texi doc/texinfo/manual.css
	@mkdir -p build
	@command -v makeinfo >/dev/null || sh tests/tools.sh
	@makeinfo --no-split $(if $(filter %.html,$@),$(HTML)) --output $@ $<
	@cp doc/texinfo/liveness-cost.png build/

wheel: .venv/ready ## dist/liveness_probe-VERSION-py3-none-any.whl, for an image
	@mkdir -p build && rm -rf build/lib dist/*.whl
	@.venv/bin/python -m build --no-isolation --wheel --outdir dist . >build/wheel.log 2>&1 || { cat build/wheel.log; exit 1; }
	@ls dist/*.whl

install: .venv/ready build/liveness.info ## package, health.sh and manual below DESTDIR and PREFIX (/usr/local)
	@rm -rf build/wheel && .venv/bin/python -m build --no-isolation --wheel --outdir build/wheel . >build/wheel.log 2>&1 || { cat build/wheel.log; exit 1; }
	@.venv/bin/python -m pip install --quiet --quiet --no-deps --no-index --no-compile --ignore-installed \
	  --no-warn-script-location --prefix '$(PREFIX)' --root '$(abspath $(DESTDIR)/)' build/wheel/*.whl
	@install -d '$(DESTDIR)$(PREFIX)/share/info'
	@install -m 644 build/liveness.info build/liveness-cost.png '$(DESTDIR)$(PREFIX)/share/info'

uninstall: ## take away what install put there
	@find '$(DESTDIR)$(PREFIX)/lib' -path '*/liveness_probe-*.dist-info/RECORD' | while read -r record; do \
	  site=$$(dirname "$$(dirname "$$record")"); \
	  cut -d, -f1 "$$record" | while read -r file; do rm -f "$$site/$$file"; done; \
	  find "$$site/liveness" -name __pycache__ -prune -exec rm -rf {} +; \
	  find "$$site/liveness" -depth -type d -empty -delete; rm -rf "$${record%/RECORD}"; \
	done
	@rm -f '$(DESTDIR)$(PREFIX)/share/info/liveness.info' '$(DESTDIR)$(PREFIX)/share/info/liveness-cost.png'

clean: ## remove what the other targets made
	rm -rf .venv build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/ready: setup.py pyproject.toml tests/venv.sh
	@PYTHON='$(PYTHON)' sh tests/venv.sh

.PHONY: help demo test check test-pythons test-frameworks e2e bench bench-e2e lint info html wheel install uninstall clean
