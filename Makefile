# The two commands of a fresh machine are `make serve` and `make test`; both install what is missing first.
# Everything that is installed or built goes to ~/.cache/scorefield (SCOREFIELD_CACHE= changes it) and dist/.

PORT ?= 8080
export PORT

HOURS ?= 8

.PHONY: help serve test check dist docs weights bench soak ci setup
help:            ## this list
	@sed -n 's/^\([a-z]*\): *## /make \1\t/p' Makefile | expand -t 14

setup:           ## install what building needs
	@tools/setup build

serve:           ## build the page and serve it on http://127.0.0.1:8080 (PORT= changes it)
	@tools/port "$(PORT)"
	@tools/setup build
	@tools/dist first
	@tools/serve "$(PORT)"

test:            ## every test: pure core, engine, wasm in a browser, end to end
	@tools/setup test
	@tools/test

check:           ## format, clippy on native and wasm32, documentation
	@tools/setup build
	@tools/check

dist:            ## static files for any host and any path, in dist/
	@tools/setup build
	@tools/dist
	@tools/sizes

docs:            ## the documents as a small site, in dist/docs (needs mdBook: tools/docs install)
	@tools/docs

weights:         ## fetch published weights (google/ddpm-cifar10-32) and put them beside ours
	@tools/setup build
	@tools/weights

bench:           ## speed: Chromium beside TensorFlow.js and onnxruntime-web, every study, a slow network, and native
	@tools/setup test
	@tools/bench

soak:            ## hours of use under a watch on memory (HOURS= changes how many)
	@tools/setup test
	@tools/soak $(HOURS)

ci:              ## check and test, as the continuous integration does
	@.ci/run
