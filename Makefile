PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: compare reports bench test validate lint wheel clean

compare: $(READY)  ## compare the digits networks; nothing is downloaded but the packages
	$(BIN)/saq-eval compare --dataset digits --methods quick --metrics quick --output reports/first-look

reports: $(READY)  ## the reports that the repository keeps; an hour or two, and mnist and fashionmnist want SAQ_EVAL_DATA_ROOT
	for dataset in digits mnist fashionmnist; do $(BIN)/saq-eval compare --dataset $$dataset --study paper || exit 1; done

bench: $(READY)  ## the suite beside a plain script and the bare passes; twenty minutes, wants SAQ_EVAL_DATA_ROOT for FashionMNIST
	$(BIN)/python -m benchmarks.speed --growth

test: $(READY)  ## run the tests, as many at once as there are cores; some want SAQ_EVAL_DATA_ROOT, for MNIST and FashionMNIST
	$(BIN)/python -m pytest -m "not validation" --numprocesses auto --dist worksteal

validate: $(READY)  ## train networks and compare them, to see that verdicts err as seldom as they say: minutes
	$(BIN)/python -m pytest -m validation --numprocesses auto --dist loadscope --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel: $(READY)
	$(BIN)/python -m build --wheel

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf .venv dist build
