"""Places from which code might be run: the folder one stands in, its git configuration, modules of common names."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

from ..case import Case, canary, canary_code
from .models import predict, train

_MODULES = ("random", "json", "vkood", "torch", "typing", "numpy", "transformers", "PIL", "sitecustomize")


def draw(rng: random.Random, kit: Path) -> Case:
    kind = rng.choice(("fsmonitor", "filter", "modules", "ranks", "html"))
    module = rng.choice(_MODULES)

    def write(folder: Path) -> list[str]:
        if kind in ("fsmonitor", "filter"):
            _repository(folder, kind)
            return train(kit, "vqa", kit / "run" / "vqa" / "best", folder)
        if kind == "html":
            words = predict(kit, "vqa", kit / "run" / "vqa" / "best", folder)
            words[words.index("--text") + 1] = "<script>alert(1)</script> [/b] a dog"
            return [*words, "--output", str(folder / "page.html")]
        (folder / f"{module}.py").write_text(canary_code(folder))
        words = train(kit, "vqa", kit / "run" / "vqa" / "best", folder)
        return [*words, "processes=2"] if kind == "ranks" else words

    def check(folder: Path) -> str:
        page = folder / "page.html"
        return "a script in the page" if page.exists() and "<script>alert" in page.read_text() else ""

    return Case(f"{kind} {module if kind in ('modules', 'ranks') else ''}", write, "accepted", check=check)


def _repository(folder: Path, kind: str) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)

    git("init", "-q")
    (folder / "file.txt").write_text("a")
    program = f"touch {canary(folder)}; cat"
    if kind == "filter":
        (folder / ".gitattributes").write_text("* filter=canary\n")
    git("-c", "user.name=a", "-c", "user.email=a@b", "add", "file.txt")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
    if kind == "filter":
        git("config", "filter.canary.clean", program)
        git("config", "filter.canary.smudge", program)
    else:
        git("config", "core.fsmonitor", program)
    (folder / "file.txt").write_text("b")
    canary(folder).unlink(missing_ok=True)
