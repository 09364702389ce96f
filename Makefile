PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: compare reports test lint wheel clean

compare: $(READY)  ## compare the digits networks; nothing is downloaded but the packages
	$(BIN)/saq-eval compare --dataset digits --methods quick --metrics quick --output reports/first-look

reports: $(READY)  ## the reports that the repository keeps; an hour or two, and mnist and fashionmnist want SAQ_EVAL_DATA_ROOT
	for dataset in digits mnist fashionmnist; do $(BIN)/saq-eval compare --dataset $$dataset --study paper || exit 1; done

test: $(READY)  ## run the tests; those that need FashionMNIST or MNIST want SAQ_EVAL_DATA_ROOT
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

wheel: $(READY)
	$(BIN)/python -m build --wheel

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf .venv dist build
