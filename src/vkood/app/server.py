"""Serving the page: on this computer alone unless told otherwise, with nothing from outside and nothing kept.

It is imported within `surroundings`.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import signal
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vkood.app import views
from vkood.app.page import build_page, example_photographs
from vkood.app.surroundings import LOOPBACK, delete_old_files
from vkood.app.workbench import MAX_BYTES, Workbench

SESSIONS = 16
"""Tabs whose photographs are in memory, at most; the oldest are forgotten."""

_WAITING = 32
_CLEANING = 60.0
"""Seconds between looks for uploads that broke off, and how old these are."""
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; object-src 'none'; base-uri 'self'; frame-ancestors 'none'"
)
"""Scripts, pictures, fonts and requests come from and go to this server alone; the browser holds to it."""


class Guard:
    """Answers the page's own requests alone, and forbids the page all others.

    Other web sites that the user visits could otherwise send files to a server on this computer, or, under a name of
    theirs that leads to it, read what it shows.

    Args:
        app: The server.
        loopback: Whether it is for this computer alone.
    """

    def __init__(self, app: ASGIApp, loopback: bool) -> None:
        self._app, self._loopback = app, loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        foreign = origin is not None and origin.partition("://")[2] != host
        if foreign or (self._loopback and _without_port(host) not in LOOPBACK):
            await PlainTextResponse("This server answers its own page alone.", 403)(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer["Content-Security-Policy"] = _POLICY
                answer["X-Content-Type-Options"] = "nosniff"
                answer["Referrer-Policy"] = "no-referrer"
            await send(message)

        await self._app(scope, receive, send_with_headers)


@contextmanager
def served(workbench: Workbench, host: str, port: int) -> Iterator[str]:
    """Serve the page while the context lasts.

    Args:
        workbench: What explains photographs.
        host: The address to listen at.
        port: Its port.

    Yields:
        The page's address.

    Raises:
        OSError: If the port is taken.
    """
    page = build_page(workbench).queue(api_open=False, max_size=_WAITING)
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            inbrowser=False,
            prevent_thread_lock=True,
            quiet=True,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            max_file_size=MAX_BYTES,
            state_session_capacity=SESSIONS,
            app_kwargs={"middleware": [Middleware(Guard, loopback=host in LOOPBACK)]},
            theme=_theme(),
            css=f"{views.style()}\n{views.example_style(example_photographs())}",
        )
        yield address
    finally:
        page.close(verbose=False)


def serve(
    workbench: Workbench,
    host: str,
    port: int,
    *,
    folder: Path,
    browser: bool,
    announce: Callable[[str], None],
) -> None:
    """Serve the page until Ctrl-C or a signal to end.

    Args:
        workbench: What explains photographs.
        host: The address to listen at.
        port: Its port.
        folder: Gradio's temporary files, of which the old ones are deleted: uploads that broke off.
        browser: Whether to show the page in the user's browser.
        announce: Is given the page's address once it answers.

    Raises:
        OSError: If the port is taken.
    """
    ended = threading.Event()
    previous = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        with served(workbench, host, port) as address:
            announce(address)
            if browser:
                webbrowser.open(address)
            while not ended.wait(_CLEANING):
                delete_old_files(folder, _CLEANING)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, previous)


def _without_port(host: str) -> str:
    name, separator, port = host.rpartition(":")
    return (name if separator and port.isdigit() else host).strip("[]")


def _theme() -> Any:
    """The colours of vkood's pages, and the fonts that the computer has."""
    fonts = ["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "DejaVu Sans", "sans-serif"]
    theme = gr.themes.Base(
        primary_hue="blue", neutral_hue="slate", font=fonts, font_mono=["ui-monospace", "monospace"]
    )
    return theme.set(
        body_background_fill="#fbfbfa",
        body_background_fill_dark="#15181c",
        button_primary_background_fill="#0064a6",
        button_primary_background_fill_hover="#00507f",
        button_primary_background_fill_dark="#0064a6",
        button_primary_text_color="#ffffff",
        slider_color="#0064a6",
        slider_color_dark="#63b9f2",
    )
