# Sourced by the scripts beside it: where things are, and how a stage is reported.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CACHE=${SCOREFIELD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scorefield}
TARGET=wasm32-unknown-unknown

say() { printf '%s\n' "$*"; }

clock() { printf '%dm%02ds' $(($1 / 60)) $(($1 % 60)); }

# digests FILE...: SHA-256 and name of each; macOS has no sha256sum.
digests() { if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }

# stop MESSAGE REMEDY...: the end, with what to do about it.
stop() {
    printf '\nStopped: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf 'What to do: %s\n' "$*" >&2
    exit 1
}

# The tools that tools/setup chose.
load_env() {
    [ -f "$CACHE/env" ] || stop "tools/setup has not run on this machine." "run: make setup"
    # shellcheck disable=SC1091
    . "$CACHE/env"
}

# stage NAME COMMAND...: runs it and reports its time; the first failure ends the script.
stage() {
    local name=$1 begin=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    if ! "$@"; then
        printf '\n== %s: FAILED after %s\n' "$name" "$(clock $((SECONDS - begin)))" >&2
        exit 1
    fi
    printf -- '-- %s: %s\n' "$name" "$(clock $((SECONDS - begin)))"
}
