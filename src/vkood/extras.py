"""The message for missing packages of an extra."""

from __future__ import annotations

from pathlib import Path


def install_command(extra: str) -> str:
    """How to install an extra: in the checkout that vkood is imported from, or else beside the installed wheel.

    Example:
        >>> install_command("train")
        '`pip install -e ".[train]"` in the checkout of vkood'
    """
    if (Path(__file__).resolve().parents[2] / "pyproject.toml").is_file():
        return f'`pip install -e ".[{extra}]"` in the checkout of vkood'
    return f'`pip install "vkood[{extra}]"`'
