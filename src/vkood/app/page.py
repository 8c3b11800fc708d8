"""The app's page: what stands where, and what each event does. It needs the extra `app`."""

# pyright: reportMissingImports=false

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from vkood.app import views
from vkood.app.workbench import (
    MAX_BYTES,
    MAX_FACT_LENGTH,
    MAX_OWN_FACTS,
    MAX_QUESTION_LENGTH,
    Explained,
    Photograph,
    Refused,
    Workbench,
    read_photograph,
)
from vkood.demo.photographs import demo_photographs, demo_questions

_LOWEST, _HIGHEST, _STEP = -8.0, 8.0, 0.02  # scores of all of Caltech-101 lie within
_STATE_SECONDS = 3_600
"""So long after its tab was closed a session's photograph stays in memory."""

_log = logging.getLogger(__name__)


def build_page(workbench: Workbench) -> gr.Blocks:
    """Lay out the page.

    Args:
        workbench: What explains photographs.
    """
    with gr.Blocks(title="vkood", analytics_enabled=False) as page:
        state = gr.State(None, time_to_live=_STATE_SECONDS)
        gr.HTML(views.heading(answers=workbench.answers), apply_default_css=False)
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                upload = gr.File(label="Photograph", height=140)
                upload.preprocess = _read_and_delete
                buttons = _example_buttons()
                question = gr.Textbox(
                    "",
                    label="Question",
                    placeholder="Does it bark, or does it purr?",
                    max_length=MAX_QUESTION_LENGTH,
                )
                with gr.Accordion("Facts of your own", open=False):
                    own_facts = gr.Textbox(
                        "",
                        label="One a line",
                        placeholder="Cats sleep most of the day.",
                        lines=4,
                        max_lines=12,
                        max_length=MAX_OWN_FACTS * (MAX_FACT_LENGTH + 1),
                    )
                explain = gr.Button("Explain", variant="primary")
                message = gr.HTML(apply_default_css=False)
                photograph = gr.HTML(apply_default_css=False)
            with gr.Column(scale=3, min_width=300):
                threshold = gr.Slider(
                    _LOWEST,
                    _HIGHEST,
                    value=round(workbench.threshold, 2),
                    step=_STEP,
                    label="Threshold",
                    info="Facts that score above it are dropped. A score says how far out a fact lies.",
                )
                with gr.Row():
                    as_page = gr.Button("Save as page", size="sm")
                    as_json = gr.Button("Save as JSON", size="sm")
                facts = gr.HTML(
                    views.nothing_yet(), apply_default_css=False, js_on_load=views.script("sort.js")
                )
        answers = gr.HTML(apply_default_css=False)
        text, name, kind = (gr.Textbox(visible=False) for _ in range(3))

        panes = [state, message, photograph, facts, answers]
        settings = [question, own_facts, threshold]
        events = _Events(workbench)
        heavy = {"concurrency_id": "models", "concurrency_limit": 1, "api_visibility": "private"}
        light: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        upload.upload(events.uploaded, [upload, *settings, state], [upload, *panes], **heavy)
        for example, (button, path) in buttons.items():
            chosen = partial(events.chosen, path, demo_questions()[example])
            button.click(chosen, [own_facts, threshold], [question, *panes], **heavy)
        for ask in (explain.click, question.submit):
            ask(events.asked, [*settings, state], panes, **heavy)
        threshold.change(events.judged, [state, threshold], [facts], trigger_mode="always_last", **light)
        download = views.script("download.js")
        for button, save in ((as_page, events.page), (as_json, events.json)):
            saved = button.click(save, [state, threshold], [message, text, name, kind], **light)
            saved.success(None, [text, name, kind], None, js=download, api_visibility="private")
    return page


def example_photographs() -> dict[str, Path]:
    """The photographs of the gallery; none if the packages that have them are not installed."""
    try:
        return demo_photographs()
    except ImportError:
        return {}


def _read_and_delete(upload: Any) -> tuple[bytes, str] | None:
    """Content and name of an upload, in place of its file, which is deleted."""
    if not isinstance(upload, FileData):
        return None
    path = Path(upload.path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    finally:
        path.unlink(missing_ok=True)
    return content, upload.orig_name or path.name


def _example_buttons() -> dict[str, tuple[gr.Button, Path]]:
    with gr.Row(elem_id="examples"):
        return {
            name: (gr.Button(name, elem_id=f"example-{name}", min_width=60), path)
            for name, path in example_photographs().items()
        }


class _Events:
    """What the events of the page do; nothing is kept here that belongs to a tab."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench

    def uploaded(
        self, file: tuple[bytes, str] | None, question: str, own_facts: str, threshold: float, before: Any
    ) -> list[Any]:
        """Explain an upload; the drop zone is empty again afterwards."""
        if file is None:
            return [None, before, *[gr.skip()] * 4]
        return [None, *self._shown(lambda: read_photograph(*file), question, own_facts, threshold, before)]

    def chosen(self, path: Path, question: str, own_facts: str, threshold: float) -> list[Any]:
        """Explain a photograph of the gallery, with its question."""
        read = partial(_example, path)
        return [question, *self._shown(read, question, own_facts, threshold, None)]

    def asked(self, question: str, own_facts: str, threshold: float, before: Explained | None) -> list[Any]:
        """Explain the tab's photograph by what is asked now."""

        def read() -> Photograph:
            if before is None:
                raise Refused("Choose a photograph first: drop a file, or take one of the examples.")
            return before.photograph

        return self._shown(read, question, own_facts, threshold, before)

    def judged(self, before: Explained | None, threshold: float) -> Any:
        """The table by another threshold."""
        if before is None:
            return gr.skip()
        shown = before.explanation
        return views.facts(
            before.at(self._exact(threshold)), answered_at=None if shown.model is None else shown.threshold
        )

    def page(self, before: Explained | None, threshold: float) -> list[Any]:
        """What is shown, as a page."""
        return self._saved(before, threshold, lambda shown: shown.to_page(), "html", "text/html")

    def json(self, before: Explained | None, threshold: float) -> list[Any]:
        """What is shown, as JSON."""
        return self._saved(
            before,
            threshold,
            lambda shown: json.dumps(shown.as_dict(), indent=1) + "\n",
            "json",
            "application/json",
        )

    def _shown(
        self, read: Callable[[], Photograph], question: str, own_facts: str, threshold: float, before: Any
    ) -> list[Any]:
        """The panes: state, message, photograph, facts, answers. What cannot be used leaves what is shown."""
        try:
            after = self._workbench.explain(read(), question or "", own_facts or "", self._exact(threshold))
        except Refused as error:
            return [before, views.message(str(error)), gr.skip(), gr.skip(), gr.skip()]
        except Exception:  # the page must say so, and the terminal why
            _log.exception("A photograph could not be explained.")
            sentence = "This could not be explained; the terminal in which the app runs says why."
            return [before, views.message(sentence), gr.skip(), gr.skip(), gr.skip()]
        shown = after.explanation
        return [after, "", views.photograph(shown), views.facts(shown), views.answers(shown)]

    def _saved(
        self,
        before: Explained | None,
        threshold: float,
        write: Callable[[Any], str],
        ending: str,
        kind: str,
    ) -> list[Any]:
        if before is None:
            return [views.message("There is nothing to save yet: choose a photograph first."), "", "", ""]
        stem = Path(before.photograph.name).stem or "photograph"
        return ["", write(before.at(self._exact(threshold))), f"{stem}-facts.{ending}", kind]

    def _exact(self, threshold: float) -> float:
        """The calibrated threshold where the slider, which has steps, stands at it."""
        calibrated = self._workbench.threshold
        return calibrated if abs(threshold - calibrated) < _STEP / 2 else float(threshold)


def _example(path: Path) -> Photograph:
    return read_photograph(path.read_bytes(), path.name)
