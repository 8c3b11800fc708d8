#!/usr/bin/env bash
# The tests of `vkood app` in Chromium. Gradio wants older versions of some packages than constraints.txt has, so these lie in
# an environment of their own, on top of the one that is active.
#
#     scripts/app_tests.sh FOLDER    FOLDER: where to make the environment
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=$1

if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null; then
    if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null || ! timeout 120 apt-get install -y -qq chromium >/dev/null 2>&1; then
        echo "Skipped: there is no Chromium, and it cannot be installed here; \`apt-get install chromium\` brings it."
        exit 0
    fi
fi
packages=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
python -m venv "$folder"
echo "$packages" >"$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/base.pth"
"$folder/bin/pip" install --quiet -e ".[app]" playwright
"$folder/bin/python" -m pytest -q tests/app
