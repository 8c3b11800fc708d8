"""`python -m vkood`, or this file by its path: the same as `vkood`."""

import os
import sys

if not __package__:
    # Started by its path, as the processes of a run are: Python put this folder first, whose modules are no top-level
    # ones, and nothing has been imported from it yet. The package itself may lie where only the parent process looked.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [*(path for path in sys.path if path != here), os.path.dirname(here)]

from vkood.cli import main

if __name__ == "__main__":
    main()
