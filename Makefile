# The two commands of the README, and the bench. Each prints where the time went.
.PHONY: setup build demo test flips fuzz mutants peers bench check deny

setup:
	@tests/inputs/timed setup python3 tests/inputs/fetch.py

build: setup
	@tests/inputs/timed build cargo build --locked --workspace --all-targets

demo: build
	@tests/inputs/timed demo target/debug/tiltyard demo --dir target/demo $(DEMO_ARGS)
	@tests/inputs/timed --report

test: build
	@tests/inputs/timed test cargo test --locked --workspace --no-fail-fast
	@tests/inputs/timed test-gpu cargo test --locked --workspace --features tiltyard-enclave/gpu --test collect
	@tests/inputs/timed --report

# Before a release: all single-bit flips of the genuine evidence, where `test` tries one of eight.
flips:
	@TILTYARD_FLIPS=all tests/inputs/timed flips cargo test --locked -p tiltyard-attestation -- flip
	@tests/inputs/timed --report

# Changes the appraisal and the policy in hundreds of ways; each that changes a verdict must fail a test. Hours.
# attestation/tests/mutants.md says why some may stay.
mutants:
	@tests/inputs/timed mutants-install sh -c 'cargo mutants --version 2>/dev/null | grep -q "27.1.0" || cargo install --locked --quiet --debug cargo-mutants --version 27.1.0'
	@tests/inputs/timed mutants cargo mutants -p tiltyard-attestation -f 'attestation/src/appraisal/**' -f 'attestation/src/policy/**' -o target/mutants -- --locked --lib --test appraisal --test nvidia --test tdx -- --skip flip
	@tests/inputs/timed --report

# Result tokens through readers by other authors: PyJWT, jwcrypto, jose; and the crate ear.
peers:
	@tests/inputs/timed peers-jose python3 tests/peers/jose.py
	@tests/inputs/timed peers-ear cargo run --locked --quiet --manifest-path tests/peers/ear/Cargo.toml --target-dir target/peers -- attestation/tests/vectors/token
	@tests/inputs/timed --report

# Looks for inputs that break a parser, SECONDS for each target: tests/fuzz/README.md. `test` replays what was found.
fuzz:
	@python3 tests/fuzz/run.py '$(SECONDS)' $(TARGETS)

bench: build
	@tests/inputs/timed bench target/debug/tiltyard-bench --json target/bench/bench.json
	@tests/inputs/timed --report

# The cheap gates of CI.
check:
	@tests/inputs/timed format cargo fmt --all --check
	@tests/inputs/timed format-fuzz cargo fmt --manifest-path tests/fuzz/Cargo.toml --check -- --config-path rustfmt.toml
	@tests/inputs/timed lock-fuzz sh -c 'cargo metadata --locked --format-version 1 --manifest-path tests/fuzz/Cargo.toml >/dev/null'
	@tests/inputs/timed clippy cargo clippy --locked --workspace --all-targets -- -D warnings
	@tests/inputs/timed clippy-gpu cargo clippy --locked --workspace --features tiltyard-enclave/gpu --all-targets -- -D warnings
	@tests/inputs/timed layering cargo test --locked -q --workspace --test layering --test documents

# One file for both graphs, so that each lacks what only the other has.
DENY := -A license-exception-not-encountered bans licenses sources
deny:
	@tests/inputs/timed cargo-deny-install sh -c 'cargo deny --version 2>/dev/null | grep -q "0.20.2" || cargo install --locked --quiet --debug cargo-deny --version 0.20.2'
	@tests/inputs/timed cargo-deny cargo deny --all-features check $(DENY)
	@tests/inputs/timed cargo-deny-fuzz cargo deny --manifest-path tests/fuzz/Cargo.toml check -A license-not-encountered $(DENY)
