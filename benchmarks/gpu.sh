#!/usr/bin/env bash
# What the layer costs on a GPU, in at most five minutes; with --smoke on the CPU, at tiny sizes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ " $* " == *" --smoke "* ]] && export TRITON_INTERPRET=1 OMP_NUM_THREADS=1
HF_HUB_OFFLINE=1 timeout 300 "${PYTHON:-python}" benchmarks/gpu.py "$@"
