"""Which code a run was carried out with, read without git, which would run what a folder's configuration names."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import vkood
from vkood.files import FileProblem, read_text

_HASH = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_BRANCH = re.compile(r"refs/[^\0\s]+")
_MAX_BYTES = 64 * 2**20


def source_state() -> dict[str, Any]:
    """Vkood's own code: a hash of its modules and, in a checkout, the commit and branch that it stands at.

    It is vkood's checkout, not the repository of the current folder, which says nothing of the code that runs. Whether
    modules differ from the commit is seen by their hash: it is the same wherever they are the same.
    """
    package = Path(vkood.__file__).resolve().parent
    state: dict[str, Any] = {"sha256": _hash_of_modules(package)}
    return state | git_head(package.parents[1]) if package.parent.name == "src" else state


def git_head(checkout: Path) -> dict[str, str]:
    """Commit and branch of a checkout, from the files of its repository; empty if there are none, or in another format.

    Args:
        checkout: The folder that has `.git`.
    """
    try:
        folder = checkout / ".git"
        if folder.is_file():  # a linked work tree or a submodule
            folder = checkout / read_text(folder, max_bytes=_MAX_BYTES).removeprefix("gitdir:").strip()
        head = read_text(folder / "HEAD", max_bytes=_MAX_BYTES).strip()
        if _HASH.fullmatch(head):
            return {"commit": head}
        branch = head.removeprefix("ref:").strip()
        if not _BRANCH.fullmatch(branch) or ".." in branch:
            return {}
        common = folder
        if (folder / "commondir").is_file():
            common = folder / read_text(folder / "commondir", max_bytes=_MAX_BYTES).strip()
        commit = _commit_of(common, branch)
    except (FileProblem, OSError):
        return {}
    return {"branch": branch} | ({"commit": commit} if commit else {})


def _commit_of(repository: Path, branch: str) -> str | None:
    """What a branch stands at: its own file, or else its line among the packed ones."""
    if (repository / branch).is_file():
        commit = read_text(repository / branch, max_bytes=_MAX_BYTES).strip()
        return commit if _HASH.fullmatch(commit) else None
    if (repository / "packed-refs").is_file():
        for line in read_text(repository / "packed-refs", max_bytes=_MAX_BYTES).splitlines():
            commit, _, name = line.partition(" ")
            if name == branch and _HASH.fullmatch(commit):
                return commit
    return None


def _hash_of_modules(package: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        total.update(f"{path.relative_to(package).as_posix()}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
