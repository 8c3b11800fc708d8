#!/usr/bin/env bash
# README's test command, as a newcomer would copy it.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
command=$(grep -F '".[dev]"' README.md)
if [[ $(wc -l <<<"$command") -ne 1 || -z $command ]]; then
    echo "README.md must have exactly one line that installs \".[dev]\"; found: $command"
    exit 1
fi
echo "\$ $command"
bash -c "$command"
