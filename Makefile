# One word per task; `make` lists them. Everything runs in .venv, which scripts/setup prepares.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
# Many tests start processes that import a framework: compiled once, not by each (scikit-learn: 1.6 s of CPU, 6.0 without).
export PYTHONDONTWRITEBYTECODE :=

BIN := .venv/bin
# The environment of scripts/setup's own builds: CMake and Ninja of .venv, one interpreter for every cargo command.
TOOLS := PATH="$(CURDIR)/$(BIN):$$PATH:$${CARGO_HOME:-$$HOME/.cargo}/bin" PYO3_PYTHON="$(CURDIR)/$(BIN)/python"
# rust/python is a Python extension: it needs libpython to link a test program, and has no logic to test.
PURE_CRATES := -p pixcrawler-core -p pixcrawler-jpeg -p pixcrawler-resize -p pixcrawler-webp
PYTHON_CODE := python tests benches scripts examples
# Tests whose names carry a case of docs/reliability.md.
CASES := test_Z or test_B or test_I or test_J or test_P or test_X or test_N or test_R or test_L0 or test_F or test_U

.PHONY: help
help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Pack photographs into a store, serve it, stream and decode it (PHOTOS=<folder|zip>)
	@scripts/setup run
	@$(BIN)/pixcrawler demo $(if $(PHOTOS),"$(PHOTOS)")

.PHONY: test
test: ## Set up and run every check and test, against the built wheel
	@scripts/setup dev
	@$(MAKE) lint types rust-test
	@$(MAKE) python-test

.PHONY: lint
lint: ## Check style: ruff, rustfmt, clippy
	$(BIN)/ruff check $(PYTHON_CODE)
	$(BIN)/ruff format --check $(PYTHON_CODE)
	$(TOOLS) cargo fmt --all --check
	$(TOOLS) cargo clippy --quiet --workspace --all-targets -- -D warnings

.PHONY: types
types: ## Check types: mypy on the package, on users' scripts and the examples, the stub against the built module
	$(BIN)/mypy python/pixcrawler scripts
	$(BIN)/mypy tests/typing
	$(BIN)/mypy examples
	MYPYPATH=benches $(BIN)/mypy benches/*.py
	$(BIN)/stubtest pixcrawler._native --mypy-config-file pyproject.toml --allowlist tests/typing/stubtest-allowlist.txt

.PHONY: rust-test
rust-test: ## Test the Rust crates, the JPEG decoder also as slower processors run it
	$(TOOLS) cargo test --quiet $(PURE_CRATES)
	@for kernel in scalar avx2; do \
		echo "PIXCRAWLER_JPEG_KERNEL=$$kernel"; \
		PIXCRAWLER_JPEG_KERNEL=$$kernel $(TOOLS) cargo test --quiet --package pixcrawler-jpeg \
			--test differential --test mutations || exit 1; \
	done

.PHONY: fuzz
fuzz: ## Fuzz each target for a minute with cargo-fuzz and the address sanitizer (ARGS="-max_total_time=1800")
	@for target in $$($(TOOLS) cargo fuzz list); do \
		mkdir -p fuzz/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 $(TOOLS) cargo fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_len=2000 -timeout=20 -max_total_time=60 $(ARGS) || exit 1; \
	done

.PHONY: docs
docs: ## Write the pages that are made from the code: docs/errors.md
	$(BIN)/python scripts/errors_page.py

.PHONY: reliability
reliability: ## Run the tests of bad input, networks and callers, and write docs/reliability.md from their results
	@mkdir -p target
	$(BIN)/pytest --quiet -n auto -m "not alone" --junitxml=target/shared.xml -k "$(CASES)"
	$(BIN)/pytest --quiet -m alone --junitxml=target/alone.xml -k "$(CASES)"
	$(TOOLS) cargo test $(PURE_CRATES) >target/cargo-test.txt
	$(BIN)/python scripts/reliability_page.py --pytest target/shared.xml target/alone.xml --cargo target/cargo-test.txt

.PHONY: python-test
python-test: ## Test the installed package (ARGS="tests/unit -k retry"); 5: no test is of that kind
	$(BIN)/pytest -n auto -m "not alone" $(ARGS) || [ $$? -eq 5 ]
	$(BIN)/pytest -m alone $(ARGS) || [ $$? -eq 5 ]

.PHONY: bench
bench: ## Run the benchmarks; tables, JSON and a plot
	@scripts/setup bench
	@$(BIN)/python benches/run.py $(ARGS)

.PHONY: bench-peers
bench-peers: ## Compare with other libraries, in .venv-peers (ARGS="--rounds 9")
	@scripts/setup bench-peers
	@.venv-peers/bin/python benches/run.py peers-decode peers-batches torch-loader torch-latency $(ARGS)

.PHONY: develop
develop: ## Install the package in place, for a quick loop of edit and try
	@scripts/setup develop

.PHONY: format
format: ## Format the Python and Rust code
	$(BIN)/ruff check --fix-only $(PYTHON_CODE)
	$(BIN)/ruff format $(PYTHON_CODE)
	$(TOOLS) cargo fmt --all

.PHONY: constraints
constraints: ## Choose the pinned versions anew, from pyproject.toml
	@scripts/constraints

.PHONY: notices
notices: ## Write NOTICE anew, from the licences of the linked crates
	$(TOOLS) $(BIN)/python scripts/notices.py

.PHONY: clean
clean: ## Remove .venv, .venv-peers and everything built
	rm -rf .venv .venv-peers target dist demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
