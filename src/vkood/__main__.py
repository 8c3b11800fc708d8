"""`python -m vkood`: the same as `vkood`, for launchers that start modules."""

from vkood.cli import main

if __name__ == "__main__":
    main()
