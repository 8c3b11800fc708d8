#!/usr/bin/env bash
# Build sdist and wheel, the wheel from the sdist, and use the wheel as somebody does who has nothing else: in an empty
# environment, outside the checkout. The environment that is active needs hatchling and hatch-fancy-pypi-readme, which
# the extra `dev` brings.
#
#     scripts/try_wheel.sh [FOLDER]
#
# FOLDER is where the two files stay; by default they are removed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
checkout=$PWD
unset PYTHONPATH
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_PROGRESS_BAR=off
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dist=$work/dist

python -m hatchling build -t sdist -d "$dist"
python -m pip wheel --quiet --no-deps --no-build-isolation -w "$dist" "$dist"/vkood-*.tar.gz
wheel=$(echo "$dist"/vkood-*.whl)
python scripts/check_wheel.py "$wheel"

"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet -c constraints.txt "$wheel[demo]"
export VKOOD_CACHE=$work/cache
PATH=$work/venv/bin:$PATH
hash -r
mkdir "$work/elsewhere"
cd "$work/elsewhere"

python - "$checkout" "$work/venv" <<'END'
import pathlib, re, sys
import vkood
checkout, environment = map(pathlib.Path, sys.argv[1:])
place = pathlib.Path(vkood.__file__).resolve()
assert place.is_relative_to(environment.resolve()), place
for example in re.findall(r"```python\n(.*?)```", (checkout / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL):
    exec(compile(example, "README.md", "exec"), {})
END
vkood --version
vkood doctor
vkood knowledge lookup "a man holding a red umbrella" --limit 2
vkood demo --output demo
test -s demo/photographs.html

if (($#)); then
    cd "$checkout"
    mkdir -p "$1"
    cp "$dist"/* "$1"
fi
echo "$(basename "$wheel") is built from the sdist, and works in an empty environment."
