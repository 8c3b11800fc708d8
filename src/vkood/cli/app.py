"""`vkood app`: a page in the browser for one's own photographs."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import Annotated, Any

import typer

from vkood.cli.explain import PACKAGES, open_store
from vkood.cli.inputs import refuse, require_count, require_model_folder, require_packages
from vkood.cli.options import ShownModel, StoreFile
from vkood.cli.output import say


def app(
    model: ShownModel = None,
    store: StoreFile = None,
    host: Annotated[
        str,
        typer.Option(
            help="The address to listen at; by default this computer alone can reach it.", metavar="ADDRESS"
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen at.", metavar="N")] = 7860,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only serve the page, and do not show it.")
    ] = False,
) -> None:
    """Show a page in the browser: drop a photograph, ask, and see which facts belong to it.

    The page shows what `vkood explain` prints, and re-judges the facts as its threshold is moved. It runs on this
    computer: no network is used, and no photograph is kept. Ctrl-C ends it.
    """
    require_count("--port", port, lowest=1, highest=65_535)
    if model is not None:
        require_model_folder("--model", model)
    _require_free(host, port)
    require_packages(("gradio", *PACKAGES), extra="app")
    workbench = _workbench(store, model)
    from vkood.app.surroundings import LOOPBACK, surroundings

    def announce(address: str) -> None:
        say(f"The page is at {address} until Ctrl-C.")
        if host not in LOOPBACK:
            say("vkood: whoever reaches this computer by the network can use the page.", err=True)

    logging.basicConfig(level=logging.ERROR)
    try:
        with surroundings() as folder:
            from vkood.app.server import serve

            serve(workbench, host, port, folder=folder, browser=not no_browser, announce=announce)
    except OSError as error:  # someone else was faster
        refuse(f"the page cannot be served at {host}, port {port}: {error}")


def _require_free(host: str, port: int) -> None:
    """Refuse an address at which nothing can be served, before anything is loaded."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        refuse(
            f"the page cannot be served at {host}, port {port}: {error.strerror}. Choose others with --host and --port."
        )


def _workbench(store: Path | None, model: Path | None) -> Any:
    """Load facts, classifier and model."""
    from vkood.app.workbench import Workbench
    from vkood.pipelines.photo_explainer import PhotoExplainer, load_explainable

    facts = open_store(store)
    say("Loading the classifier and the facts...", err=True)
    try:
        return Workbench(PhotoExplainer(facts), load_explainable(model))
    except (ValueError, OSError, ImportError) as error:
        refuse(str(error))
