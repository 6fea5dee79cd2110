# On a fresh machine: Python 3.11, 3.12 or 3.13 with venv, and make. Everything else is installed into .venv.
#
#   make demo          survey a small synthetic country into demo/   (SIZE=ROWSxCOLS and SEED=N to choose)
#   make test          all tests except the slow ones                (ARGS='-k grid' to choose)
#   make test-slow     the slow ones
#   make image         the image of deploy/Dockerfile with podman, and what is in it into build/image    (IMAGE=name:tag to choose)
#   make test-containers   real containers: installs podman and buildah (root and apt), builds the image, runs the chart
#   make system-packages   Debian packages that a few tests use; make test installs them if it can (root and apt)
#   make check         ruff and mypy: style, format, types     (make format fixes what it can)
#   make docs          the documentation site, into build/site
#   make release       wheel and sdist of the last commit into dist/, built twice, installed and tried
#   make constraints   write constraints.txt again, from the newest versions that pyproject.toml allows
#   make clean         remove .venv, demo/ and the files that builds and tests leave

# the version that is tested most comes first
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
SEED ?= 900
SIZE ?= 1536x1536
# where to take torch from first, e.g. https://download.pytorch.org/whl/cpu: the default build can download gigabytes of CUDA
TORCH_INDEX ?=
# processes of pytest; loadfile keeps the tests of a file together, so its surveys are made once; tests/conftest.py orders
# the files
JOBS ?= 2
ARGS ?=

IMAGE ?= lsbatch:$(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' lsbatch/__init__.py)
# more options of podman build
IMAGE_ARGS ?=

BIN := .venv/bin
# compiled when installed, and our own modules when first imported, also where the environment forbids it: else every
# command and every worker compiles them all again (11 s instead of 6 s for `lsbatch run`, 25 minutes for the tests)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-containers image check docs format release system-packages constraints clean
# two installations at once would share .venv
.NOTPARALLEL:

help:
	@sed -n 's/^#  *make/  make/p' Makefile

demo: .venv/lsbatch.stamp
	$(BIN)/lsbatch demo demo --seed $(SEED) --size $(SIZE)

test: system-packages .venv/test.stamp .venv/smp.stamp
	$(BIN)/python -m pytest -m 'not slow' -n $(JOBS) --dist loadfile --no-loadscope-reorder --durations 10 $(ARGS)

test-slow: system-packages .venv/test.stamp .venv/smp.stamp
	$(BIN)/python -m pytest -m slow --durations 10 $(ARGS)

image: .venv/lsbatch.stamp
	PYTHON=$(BIN)/python deploy/image.sh build/image $(IMAGE) $(IMAGE_ARGS)

# build/containers: images of the tests, apart from those of the machine; kept, so that the next build is quick
test-containers: .venv/test.stamp
	@for name in podman buildah runc mmdebstrap; do command -v $$name >/dev/null || missing=1; done; \
	if [ -n "$$missing" ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
	    --no-install-recommends podman buildah runc catatonit mmdebstrap >/dev/null; fi
	@mkdir -p build/containers
	$(BIN)/python -m pytest -m slow --durations 20 tests/deploy/test_image.py tests/deploy/test_containers.py $(ARGS)

check: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# warnings are errors: a link to a page or heading that does not exist ends it. With --quiet they would not be counted
docs: .venv/docs.stamp
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "build/site/index.html"

# about 10 minutes: each file is installed into an environment of its own
release: .venv/release.stamp
	PYTHON=$(BIN)/python deploy/build_release.sh dist
	PYTHON="$(PYTHON)" TORCH_INDEX="$(TORCH_INDEX)" deploy/try_release.sh dist

format: .venv/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A stamp is written last. While .venv/installing is there, an installation runs or was killed in the middle: pip may
# take a half-written package for a whole one, so such a .venv is thrown away. Any other .venv is kept.
.venv/lsbatch.stamp: pyproject.toml constraints.txt
	$(call install,'.[view]')

.venv/test.stamp: pyproject.toml constraints.txt
	$(call install,'.[test]')
	@touch .venv/lsbatch.stamp

.venv/release.stamp: .venv/test.stamp
	@$(PIP) -e '.[release]' && touch $@

.venv/docs.stamp: .venv/test.stamp
	@$(PIP) -e '.[docs]' && touch $@

# A folder of its own for the tests of model.family smp, which run in a process of their own: pytorch-lightning imports
# torchvision wherever it is installed, and the one of the index, for CUDA, does not load beside torch for CPUs.
# huggingface_hub below 1 needs nothing else that .venv lacks.
SMP := segmentation-models-pytorch==0.6.0 timm==1.0.31 torchvision==0.28.0 huggingface_hub==0.36.2

.venv/smp.stamp: .venv/test.stamp
	@rm -rf .venv/smp
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target .venv/smp $(SMP) && touch $@ || \
	    { rm -rf .venv/smp; echo "segmentation-models-pytorch could not be installed; its tests are skipped"; }

define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "lsbatch needs Python 3.11 or later; name it with: make PYTHON=/path/to/python3.13"; exit 1; }
	@if [ -e .venv/installing ]; then rm -rf .venv; fi
	@mkdir -p .venv && touch .venv/installing
	@[ -x $(BIN)/pip ] || $(PYTHON) -m venv .venv || \
	    { echo "could not make .venv; Debian and Ubuntu keep venv in a package of its own, e.g. python3.13-venv"; exit 1; }
	@echo "Installing lsbatch into .venv (2 GB; a minute or two where the network is fast)"
	$(if $(TORCH_INDEX),$(PIP) --no-deps --index-url $(TORCH_INDEX) $$(grep '^torch==' constraints.txt))
	$(PIP) -e $(1)
	@rm .venv/installing && touch $@
endef

# Debian package -> the command, or the file, that the tests look for
system-packages:
	@missing=""; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	command -v gdaldem >/dev/null || missing="$$missing gdal-bin"; \
	command -v slurmctld >/dev/null || missing="$$missing slurm-wlm"; \
	command -v munged >/dev/null || missing="$$missing munge"; \
	command -v ip >/dev/null || missing="$$missing iproute2"; \
	[ -e /usr/lib/python3/dist-packages/qgis ] || missing="$$missing python3-qgis"; \
	[ -e /usr/share/postgresql/15/extension/postgis.control ] || missing="$$missing postgresql-15-postgis-3"; \
	if [ -z "$$missing" ]; then echo "system packages: all here"; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing >/dev/null || \
	    echo "could not be installed:$$missing; the tests that need them are skipped"; \
	else echo "not installed (needs root and apt):$$missing; the tests that need them are skipped"; fi

constraints:
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test,dashboard,docs,release]'
	@grep '^#' constraints.txt > build/constraints.txt
	build/constraints/bin/python -m pip freeze --exclude lsbatch --exclude-editable | sed 's/+cpu//' | grep '==' >> build/constraints.txt
	mv build/constraints.txt constraints.txt && rm -r build/constraints

clean:
	rm -rf .venv demo build dist .pytest_cache .hypothesis .ruff_cache .mypy_cache .ci-demo
	find lsbatch tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
