PYTHON ?= python3
RUN := .venv/bin/python
PACKAGES := orchestrator_site accounts pipelines runs approvals notices evals

# Tests start hundreds of processes; without what was compiled, each compiles all of Baton again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: up dev test check audit bench faults install install-dev assets

up: install assets
	@exec $(RUN) -m orchestrator_site.up

dev: install-dev assets
	@exec $(RUN) -m orchestrator_site.up --reload

# Browser tests apart: their driver's event loop stays in the process, and no asynchronous test could run after it.
# Three processes on two cores: half the files wait for processes of their own. tests/order.py says what comes when.
test: install-dev assets
ifdef PYTEST
	$(RUN) -m pytest $(PYTEST)
else
	$(RUN) -m tests.twice -n 3 --dist loadfile --no-loadscope-reorder -m "not browser"
	$(RUN) -m tests.twice -n 2 --dist loadfile -m browser
endif

# Every figure and fault of docs/faults.md; ONLY="R4 worker-killed" for a part.
faults: install-dev assets
	$(RUN) -m tests.faults $(ONLY)

check: install-dev assets
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy $(PACKAGES)
	.venv/bin/lint-imports
	$(RUN) manage.py makemigrations --check --dry-run
	BATON_ENV=production BATON_BASE_URL=https://baton.example SECRET_KEY=$$($(RUN) -c 'import secrets; print(secrets.token_urlsafe(60))') \
	  BATON_ENCRYPTION_KEYS=$$($(RUN) -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())') \
	  $(RUN) manage.py check --deploy --fail-level WARNING
	$(RUN) -m pytest -q -p no:cacheprovider tests/site/test_templates.py

# Asks PyPI and the npm registry for advisories on what is locked; fails where it cannot ask.
audit: install-dev
	.venv/bin/uv tool run pip-audit --requirement requirements.lock --no-deps --disable-pip --strict
	npm audit --package-lock-only

bench: install-dev assets
	$(RUN) -m bench $(ONLY)

install:
	@$(PYTHON) requirements/install.py

install-dev:
	@$(PYTHON) requirements/install.py --dev

assets:
	@$(RUN) -m orchestrator_site.build
