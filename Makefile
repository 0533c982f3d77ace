# make run     installs what is missing, builds, and starts everything on the embedded default
# make test    installs, builds and runs every test
# make test-superset   runs a real Superset on Tapedeck, in an environment of its own; about eight minutes
# make test-airflow    has a real Airflow run the DAG of deploy/airflow, in an environment of its own; about three minutes
# make faults  runs SEEDS=20 random plans of faults on the real processes
# make bench   runs the benchmarks
# make bench-spark  measures the pipeline beside PySpark Structured Streaming
# make bench-scaling  measures how the pipeline grows with symbols, batches, partitions and processors
# make bench-bloat  measures what updates in place make of the table of bars
# make calibration  measures how well forecasts fit daily closes
# make bench-http   measures the HTTP server beside nginx, Hummingbird and FlyingFox
# make bench-idle  measures what ten thousand idle connections cost, beside nginx
# make bench-allocations  counts what the HTTP server allocates for a small GET
# make soak CONNECTIONS=1000000   looks for what that many short connections leave behind
# make bench-secure   measures TLS beside nginx, and WebSocket beside Python's websockets
# make screenshots  makes the pictures of the console in the README
# make schemathesis EXAMPLES=200   tries the REST contract for longer
# make fuzz TIME=60      lets libFuzzer attack each parser for so many seconds
# make sanitize          runs the unit tests under the address and the thread sanitizer
# make build   leaves the release binary at .build/release/tapedeck

.PHONY: run build test test-swift test-end-to-end test-superset bench bench-analytics bench-http bench-secure bench-spark bench-scaling bench-bloat fuzz sanitize deps deps-test format-check clean
SHELL := /bin/bash

run: build
	.build/release/tapedeck up $(ARGS)

build: deps
	swift build -c release --product tapedeck

# What the program is built from and runs on; asked of dpkg, so that nothing is fetched when nothing is missing.
PACKAGES := libcurl4-openssl-dev libedit-dev libpq-dev librdkafka-dev libsqlite3-dev libssl-dev libzstd-dev pkg-config postgresql-15 util-linux zlib1g-dev
PACKAGES_TEST := $(PACKAGES) binutils chromium openssl python3 python3-pip python3-venv systemd

deps:
	@deploy/install-packages $(PACKAGES)
	@deploy/install-lexicon
	@deploy/install-docs-viewer
	@deploy/install-console

deps-test: .build-venv/installed
	@deploy/install-packages $(PACKAGES_TEST)
	@deploy/install-promtool
	@deploy/install-lexicon
	@deploy/install-docs-viewer
	@deploy/install-console

.build-venv/installed: Tests/EndToEnd/requirements.txt
	@deploy/install-packages $(PACKAGES_TEST)
	python3 -m venv .build-venv
	.build-venv/bin/pip install --quiet --disable-pip-version-check -r Tests/EndToEnd/requirements.txt
	touch $@

test: deps-test test-swift test-end-to-end

# One test at a time: suites that wait for servers and clocks then never compete for the cores. The failures are said
# again at the end, where they are found.
test-swift: deps deps-test
	swift build --build-tests
	@echo "swift test --skip-build --no-parallel"
	@set -o pipefail; swift test --skip-build --no-parallel 2>&1 | tee .build/test.log || \
	    { status=$$?; echo; echo "What failed:"; grep -aE '^(✘|↳|.*error:)' .build/test.log; exit $$status; }

# Two files at a time: they wait for servers and clocks more than they compute. PYTEST_ARGS="-n 0" runs one at a time.
test-end-to-end: build deps-test mock-kafka
	.build-venv/bin/python -m pytest Tests/EndToEnd -n 2 --dist loadfile $(PYTEST_ARGS)

# The README's pictures of the console.
.PHONY: screenshots
screenshots: build deps-test
	.build-venv/bin/python docs/screenshots.py

# Superset needs libraries that the other tests must not have, and 860 MB for them.
.build-superset/installed: Tests/Superset/requirements.txt deploy/superset/requirements.txt
	@deploy/install-packages $(PACKAGES_TEST)
	python3 -m venv .build-superset
	.build-superset/bin/pip install --quiet --disable-pip-version-check -r Tests/Superset/requirements.txt
	touch $@

# A Superset is one for each process, and what one file makes in it another's would meet.
test-superset: build .build-superset/installed
	@set -e; for file in Tests/Superset/test_*.py; do \
	    .build-superset/bin/python -m pytest $$file -p no:warnings -p no:logging $(PYTEST_ARGS); \
	done

# Airflow's libraries are many, and of versions of their own.
.PHONY: test-airflow
.build-airflow/installed: Tests/Airflow/requirements.txt
	@deploy/install-packages $(PACKAGES_TEST)
	python3 -m venv .build-airflow
	.build-airflow/bin/pip install --quiet --disable-pip-version-check -r Tests/Airflow/requirements.txt
	touch $@

test-airflow: build .build-airflow/installed
	.build-airflow/bin/python -m pytest Tests/Airflow -p no:warnings $(PYTEST_ARGS)

# Lets Schemathesis try the whole contract on a running server: EXAMPLES a path, from SEED.
.PHONY: schemathesis
schemathesis: build deps-test
	SCHEMATHESIS_EXAMPLES=$(or $(EXAMPLES),200) SCHEMATHESIS_SEED=$(or $(SEED),$$RANDOM) \
	    .build-venv/bin/python -m pytest Tests/EndToEnd/test_openapi.py -k schemathesis

# Kills and cuts the real processes, on both logs in turn; see Tests/EndToEnd/faults.py. Prints each seed.
.PHONY: faults mock-kafka
faults: build deps-test mock-kafka
	.build-venv/bin/python Tests/EndToEnd/faults.py --seeds $(or $(SEEDS),20) $(FAULTS_ARGS)

mock-kafka: deps
	swift build --product mock-kafka

bench: build
	swift run -c release bench $(or $(ARGS),all)

# Sentiment beside vaderSentiment, forecasts beside NumPy.
bench-analytics: deps-test
	swift run -c release bench analytics $(ARGS)

# How well the model of the forecasts fits daily closes (`docs/analytics.md`): the public-domain ones of bokeh_sampledata.
.PHONY: calibration
calibration: deps-test
	@set -e; scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	.build-venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
	    --dest "$$scratch" bokeh_sampledata==2026.1; \
	.build-venv/bin/python -m zipfile --extract "$$scratch"/*.whl "$$scratch"; \
	.build-venv/bin/python Benchmarks/calibration.py "$$scratch/bokeh_sampledata/_data/stocks.csv.gz"

# The peers are a package of their own, for they need SwiftNIO.
bench-http: deps
	@deploy/install-packages nginx-light wrk util-linux python3
	swift build -c release --product bench
	swift build -c release --package-path Benchmarks/http/peers
	python3 Benchmarks/http/run.py $(ARGS)

.PHONY: bench-allocations bench-idle soak
bench-allocations: deps
	swift build -c release --product bench
	python3 Benchmarks/http/allocations.py $(ARGS)

bench-idle: deps
	@deploy/install-packages nginx-light wrk util-linux python3
	swift build -c release --product bench
	python3 Benchmarks/http/idle.py $(ARGS)

soak: deps
	@deploy/install-packages openssl util-linux python3
	swift build -c release --product bench
	python3 Benchmarks/http/soak.py --connections $(or $(CONNECTIONS),1000000)

# TLS beside nginx, WebSocket beside Python's websockets.
bench-secure: deps-test
	@deploy/install-packages nginx-light wrk util-linux openssl
	swift build -c release --product bench
	python3 Benchmarks/http/secure.py $(ARGS)

# Spark comes from PyPI, into an environment of its own, and runs on the distribution's Java.
.build-spark/installed: Benchmarks/spark/requirements.txt
	@deploy/install-packages $(PACKAGES_TEST) default-jre-headless
	python3 -m venv .build-spark
	.build-spark/bin/pip install --quiet --disable-pip-version-check -r Benchmarks/spark/requirements.txt
	touch $@

bench-spark: build .build-spark/installed
	.build-spark/bin/python Benchmarks/spark/run.py $(ARGS)

bench-scaling: build deps-test
	swift build -c release --product bench
	swift build -c release --product mock-kafka
	.build-venv/bin/python Benchmarks/scaling.py $(ARGS)

bench-bloat: build deps-test
	.build-venv/bin/python Benchmarks/bloat.py $(ARGS)

format-check:
	swift format lint --strict --recursive Sources Tests Benchmarks Package.swift

clean:
	rm -rf .build .build-venv .build-superset .build-airflow .build-spark .build-promtool .build-fuzz .build-asan .build-tsan var

# What it finds is left in .build-fuzz as crash-*; `FUZZ=NAME .build-fuzz/release/fuzz FILE` runs one input again. The
# corpus grows in .build-fuzz, from the seeds in Tests/Fuzz/corpus.
FUZZ_TARGETS ?= $(notdir $(wildcard Tests/Fuzz/corpus/*))
TIME ?= 60

fuzz: deps
	TAPEDECK_FUZZ=1 swift build -c release --product fuzz --sanitize fuzzer -Xswiftc -enable-testing \
	    --scratch-path .build-fuzz
	@set -e; for target in $(FUZZ_TARGETS); do \
	    echo "fuzz $$target for $(TIME) s"; mkdir -p .build-fuzz/corpus/$$target; \
	    FUZZ=$$target .build-fuzz/release/fuzz -max_total_time=$(TIME) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
	        -artifact_prefix=.build-fuzz/crash-$$target- .build-fuzz/corpus/$$target Tests/Fuzz/corpus/$$target \
	        2>&1 | tee .build-fuzz/$$target.log | grep -aE 'DONE|cov:.*pulse|SUMMARY|Fatal|stat::number_of' | tail -6; \
	    grep -aq 'stat::number_of' .build-fuzz/$$target.log && ! ls .build-fuzz/crash-$$target-* 2>/dev/null; \
	done

# The unit tests that need no PostgreSQL, with every read and write checked; and with every pair of threads watched, but
# for Kafka: the threads of librdkafka are C11's, of which the thread sanitizer knows nothing, and it ends at the first.
# Leaks are not looked for: XCTest leaves some, and where Swift keeps a count of weak references, it hides the pointer
# to it from the leak sanitizer.
SANITIZED := HTTPTests|EventLoopTests|TLSTests|WebSocketTests|MarketTests|RecordsTests|IngestTests|ProcessorTests|EventLogTests|TapedeckTests
SANITIZED := $(SANITIZED)|MetricsTests|SentimentTests|TrinoSQLTests|FuzzTests|AdmissionTests|LiveTapeTests|TrinoMailboxTests

sanitize: deps deps-test
	swift build --build-tests --sanitize address --scratch-path .build-asan
	ASAN_OPTIONS=detect_leaks=0 swift test --skip-build --no-parallel --sanitize address --scratch-path .build-asan \
	    --filter '$(SANITIZED)'
	swift build --build-tests --sanitize thread --scratch-path .build-tsan
	clang -shared -fPIC -O1 -o .build-tsan/mutex.so Tests/Sanitizers/mutex.c
	LD_PRELOAD=$(abspath .build-tsan/mutex.so) swift test --skip-build --no-parallel --sanitize thread \
	    --scratch-path .build-tsan --filter '$(SANITIZED)' --skip 'Kafka|LogContract'
