"""The paper's command for BLIP, which `vkood train` carries out: see `vkood.recipes.published`."""

import sys

from vkood.cli.published import train_blip

if __name__ == "__main__":
    train_blip(sys.argv[1:])
