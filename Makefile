# Each line calls something that you could call yourself.
STACK ?= local
RUN = .venv/bin/modelyard

.PHONY: up down stop start demo test test-pytorch check bench tools lock images

up: tools            ## make the platform, or mend it
	@$(RUN) up --stack "$(STACK)"

down:                ## remove it; YES=1 agrees beforehand to the deletion of a protected one's data
	@$(RUN) down --stack "$(STACK)" $(if $(YES),--yes) $(if $(FORCE),--force)

stop start: %:       ## pause it, and go on
	@$(RUN) $* --stack "$(STACK)"

demo:                ## train a real model, deploy it and check its predictions
	@.venv/bin/python examples/bike-demand/demo.py --stack "$(STACK)"

test: tools          ## every test, a tier at a time; TESTS=... only these
	@.venv/bin/python tests/run.py $(TESTS)

test-pytorch: tools  ## PyTorch models, in an environment of their own: 3 GB to download, once
	@python="$$(.venv/bin/python tests/pytorch/environment.py)" && "$$python" -m pytest tests/pytorch

check: tools         ## lint, format, types
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy platform/modelyard infra tools/*.py

bench: tools         ## the measurements of docs/performance.md
	@.venv/bin/python bench/run.py

tools:               ## the Python environment and the programs, once per machine
	@python3 tools/environment.py && .venv/bin/python tools/get.py

lock:                ## write requirements.lock anew from pyproject.toml
	@tools/lock.sh $(LOCK)

images:              ## build the container images; IMAGES="agent ..." only these, PUSH=registry/prefix also pushes them
	@.venv/bin/python tools/images.py $(if $(PUSH),--push "$(PUSH)") $(if $(BASE_IMAGE),--base-image "$(BASE_IMAGE)") $(if $(TAG),--tag "$(TAG)") $(IMAGES)
