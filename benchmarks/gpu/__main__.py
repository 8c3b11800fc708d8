"""Measure on a GPU, or with `--smoke` try the benchmark out on the CPU; see `measure.py`."""

import importlib
import os
import sys

if __name__ == "__main__":
    # Read by the libraries as they are imported, hence before that.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if "--smoke" in sys.argv:
        os.environ.update(TRITON_INTERPRET="1", OMP_NUM_THREADS="1")
    importlib.import_module(".measure", __package__).main()
