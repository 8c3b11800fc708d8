"""The paper's command for two-stream models, which `vkood train` carries out: see `vkood.recipes.published`."""

import sys

from vkood.cli.published import train_vilt

if __name__ == "__main__":
    train_vilt(sys.argv[1:])
