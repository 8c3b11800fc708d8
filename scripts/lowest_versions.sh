#!/usr/bin/env bash
# The oldest versions that pyproject.toml allows, in an environment of their own: everything can be imported, and the layer
# and the commands do their work.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONPATH VIRTUAL_ENV
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/lowest"
"$work/lowest/bin/pip" install --quiet -c constraints-lowest.txt -e ".[demo,gpu,knowledge,train]"
"$work/lowest/bin/python" scripts/smoke.py
"$work/lowest/bin/vkood" knowledge lookup "a man holding a red umbrella" --limit 2
"$work/lowest/bin/vkood" knowledge lookup --help
