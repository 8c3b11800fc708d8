#!/usr/bin/env bash
# All checks that run no tests, in the environment that is active: lint, format, types, import rules, sizes, words, pages.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
source scripts/steps.sh
static_checks
summary
