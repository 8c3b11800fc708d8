"""The message for missing packages of an extra."""

from __future__ import annotations


def install_command(extra: str) -> str:
    """How to install an extra; vkood is on no package index, so it is done in its checkout.

    Example:
        >>> install_command("train")
        '`pip install -e ".[train]"` in the checkout of vkood'
    """
    return f'`pip install -e ".[{extra}]"` in the checkout of vkood'
