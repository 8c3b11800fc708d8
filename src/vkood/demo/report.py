"""The demo's report: one HTML page that needs nothing else, to be opened from disk."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vkood.demo.figures import ARM_NAMES, KIND_NAMES, flood_figure, gate_figure, learning_figure
from vkood.escaping import html_text
from vkood.files import write_text
from vkood.models.explain import highlighted

FactKind = Literal["matching", "contradicting", "irrelevant"]

_SHORT_KINDS: dict[str, str] = {
    "matching": "agrees",
    "contradicting": "contradicts",
    "irrelevant": "unrelated",
}
_SIGNS: dict[str, str] = {"matching": "✓", "contradicting": "✗", "irrelevant": "·"}


@dataclass(frozen=True, kw_only=True)
class GalleryFact:
    """A fact of an example, and what the filter made of it.

    Attributes:
        sentence: The fact.
        matches: Whether it agrees with the picture.
        gate: How far the filter lets it through, from 0 to 1.
        score: How outlying it is to the filter; larger = more outlying.
        kind: What the fact is to the picture.
    """

    sentence: str
    matches: bool
    gate: float
    score: float
    kind: FactKind


@dataclass(frozen=True, kw_only=True)
class GalleryItem:
    """A test question, for a reader to look at.

    Attributes:
        image: (3, 64, 64) the picture, 0 to 255.
        question: The question.
        answer: The right answer.
        predictions: The answer of each arm.
        facts: The facts that came along.
        patches: (components, rows, columns) how much of each component of the fitted mixture lies in which part of the
            picture; None if nothing was fitted.
    """

    image: UInt8[Tensor, "3 64 64"]
    question: str
    answer: str
    predictions: dict[str, str]
    facts: list[GalleryFact]
    patches: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class DemoReport:
    """All that the report shows.

    Attributes:
        results: The content of results.json.
        curves: For each arm, (step, loss) in the order of training.
        gallery: Examples.
    """

    results: dict[str, Any]
    curves: dict[str, list[tuple[int, float]]]
    gallery: list[GalleryItem]


def write_report(report: DemoReport, path: Path) -> None:
    """Write the report as one HTML file.

    Args:
        report: What it shows.
        path: The file. It appears under this name, or replaces one, only when it is complete.
    """
    results = report.results
    parts = [
        _head(results),
        _floods(results),
        _filter(report),
        _gallery(report.gallery),
        _training(report),
        _colophon(results),
    ]
    style = resources.files("vkood.demo").joinpath("report.css").read_text(encoding="utf-8")
    write_text(
        path,
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>vkood demo: facts under flood</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n",
    )


def _head(results: dict[str, Any]) -> str:
    quick = (
        '<p class="warning"><strong>A quick run.</strong> The models were trained for a fraction of the '
        "usual time; they answer worse than those of a full run.</p>"
        if results["quick"]
        else ""
    )
    return f"""<header>
<h1>Which facts belong to this picture?</h1>
<p class="lead">Each question is about a picture, but its answer stands in one of the short facts that come
along; one model sees no facts, one sees all of them, and one first compares every fact with the picture and
shuts out what does not fit. Then more and more facts are added that are about other things or contradict the
picture, and we look which model still answers rightly.</p>
{quick}{_headline(results)}
</header>"""


def _headline(results: dict[str, Any]) -> str:
    """The accuracies with nothing added and under the greatest flood."""
    items = []
    for arm, found in results["knowledge"].items():
        numbers = list(found["irrelevant"])
        first, last = found["irrelevant"][numbers[0]], found["irrelevant"][numbers[-1]]
        items.append(
            f"<li><b>{_percent(first)} → {_percent(last)}</b>answered rightly by the model that "
            f"{_escape(ARM_NAMES[arm])}, with {numbers[0]} → {numbers[-1]} irrelevant facts added</li>"
        )
    return f'<ul class="numbers">{"".join(items)}</ul>'


def _floods(results: dict[str, Any]) -> str:
    asked = results["num_questions"]
    tables = "".join(_flood_table(results["knowledge"], kind) for kind in ("irrelevant", "contradicting"))
    own = _table(
        f"easy-VQA's own {asked['easy_vqa']:,} test questions, which the picture answers; no facts added",
        ["model", "share answered rightly"],
        [[ARM_NAMES[arm], f"{share:.3f}"] for arm, share in results["easy_vqa"]["by_arm"].items()],
    )
    return f"""<section>
<h2>Under a flood of facts</h2>
<figure>{flood_figure(results)}
<figcaption>{asked["knowledge"]:,} test questions at each point, the same ones each time. Six facts come with
every question: two agree with the picture, of which one answers the question, and four contradict it. The
thin dotted line is chance for a model that names any of the entities that the facts are about; naming any of
all 64 entities gives 0.016. The steps on the horizontal axes are not to scale.</figcaption></figure>
<div class="tables">{tables}</div>
<h2>Without knowledge</h2>
{own}
</section>"""


def _flood_table(knowledge: dict[str, Any], kind: str) -> str:
    numbers = list(next(iter(knowledge.values()))[kind])
    best = {number: max(found[kind][number] for found in knowledge.values()) for number in numbers}
    rows = "".join(
        f'<tr><th scope="row">{_escape(ARM_NAMES[arm])}</th>'
        + "".join(
            f"<td{_BEST if found[kind][number] == best[number] else ''}>{found[kind][number]:.3f}</td>"
            for number in numbers
        )
        + "</tr>"
        for arm, found in knowledge.items()
    )
    heads = "".join(f'<th scope="col">{_escape(number)}</th>' for number in numbers)
    return (
        f'<div class="scroll"><table><caption>Share of knowledge questions answered rightly, by the number '
        f"of {kind} facts added; "
        f'the best is bold</caption><thead><tr><th scope="col">model</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


_BEST = ' class="best"'


def _filter(report: DemoReport) -> str:
    found = report.results["filter"]
    if found is None:
        return ""
    rows = [
        [f"{number} {kind}", f"{of_flood['auroc']:.3f}", f"{of_flood['fpr95']:.3f}"]
        for kind, of_kind in found.items()
        for number, of_flood in of_kind.items()
    ]
    gates: dict[str, list[float]] = {kind: [] for kind in KIND_NAMES}
    for item in report.gallery:
        for fact in item.facts:
            gates[fact.kind].append(fact.gate)
    figure = (
        f'<figure class="narrow">{gate_figure(gates)}<figcaption>Every dot is a fact of the examples '
        "below. A gate of 1 leaves a fact as it is, 0 makes it absent.</figcaption></figure>"
        if any(gates.values())
        else ""
    )
    return f"""<section>
<h2>How well the filter sorts</h2>
<p>AUROC: how often a fact that does not match the picture gets a more outlying score than one that does (0.5 is
chance, 1 is best). FPR95: share of the facts that do not match which pass where 95&nbsp;% of those that match do
(0 is best).</p>
{_table("The filter, by the facts added to the six of every test question", ["facts added", "AUROC", "FPR95"], rows)}
<p class="note">Nobody told the filter which facts match: it learnt from right and wrong answers alone.</p>
{figure}
</section>"""


def _gallery(gallery: Iterable[GalleryItem]) -> str:
    items = "\n".join(_example(number, item) for number, item in enumerate(gallery, start=1))
    return f"""<section>
<h2>Look for yourself</h2>
<p>The first of the test questions, with a small flood. Their facts are sorted by the filter's gate: what it
kept is at the top. The two facts that agree with the picture are marked; a good filter puts both of them
first.</p>
{items}
</section>"""


def _example(number: int, item: GalleryItem) -> str:
    answers = "\n".join(
        f'<li class="{"right" if answer == item.answer else "wrong"}">'
        f'<span class="sign" aria-hidden="true">{"✓" if answer == item.answer else "✗"}</span>'
        f"<span>{_escape(answer)} ({'right' if answer == item.answer else 'wrong'})"
        f"<small>model that {_escape(ARM_NAMES[arm])}</small></span></li>"
        for arm, answer in item.predictions.items()
    )
    facts = sorted(item.facts, key=lambda fact: -fact.gate)
    rows = "\n".join(_fact(fact, item.answer) for fact in facts)
    return f"""<article class="example" aria-labelledby="example-{number}">
<div>
<img src="{_png(_picture(item))}" alt="Test picture of example {number}: 64 by 64 pixels, one coloured shape.">
{_components(number, item)}
<ul class="answers">
{answers}
</ul>
</div>
<div>
<h3 id="example-{number}">{_escape(item.question)}</h3>
<p class="note">Right answer: <strong>{_escape(item.answer)}</strong></p>
<div class="scroll"><table class="facts">
<thead><tr><th scope="col">fact</th><th scope="col">does it fit?</th><th scope="col">gate</th>
<th scope="col" class="score">score</th></tr></thead>
<tbody>
{rows}
</tbody></table></div>
</div>
</article>"""


def _fact(fact: GalleryFact, answer: str) -> str:
    words = fact.sentence.lower().rstrip(".").split()
    answers = fact.kind == "matching" and answer.lower() in words
    kind = _SHORT_KINDS[fact.kind] + (", answers" if answers else "")
    return (
        f'<tr class="{fact.kind}"><td>{_escape(fact.sentence)}</td>'
        f'<td class="kind">{_SIGNS[fact.kind]} {kind}</td>'
        f'<td class="gate"><div><span class="track" aria-hidden="true"><span class="fill" '
        f'style="width:{100 * min(max(fact.gate, 0.0), 1.0):.1f}%"></span></span>{fact.gate:.3f}</div></td>'
        f'<td class="score">{fact.score:.2f}</td></tr>'
    )


def _training(report: DemoReport) -> str:
    rows = [
        [ARM_NAMES[arm], f"{found['steps']:,}", f"{found['seconds']:.0f}"]
        for arm, found in report.results["training"].items()
    ]
    figure = (
        f'<figure class="narrow">{learning_figure(report.curves)}<figcaption>Loss on both kinds of questions '
        "together. All models have the same steps, rows and learning rate.</figcaption></figure>"
        if any(report.curves.values())
        else ""
    )
    return f"""<section>
<h2>Training</h2>
{figure}
{_table("Training of each model", ["model", "steps", "seconds"], rows)}
</section>"""


def _colophon(results: dict[str, Any]) -> str:
    rows = [
        ["seed", str(results["seed"])],
        ["quick run", "yes" if results["quick"] else "no"],
        ["seconds in all", f"{results['seconds']:.0f}"],
        ["peak memory, MB", f"{results['peak_rss_mb']:,.0f}"],
        *[[name, version] for name, version in results["versions"].items()],
    ]
    return f"""<section>
<h2>This run</h2>
{_table("How it was made; all numbers are in results.json", ["what", "value"], rows)}
</section>"""


def _table(caption: str, heads: list[str], rows: list[list[str]]) -> str:
    """A table whose first column names the rows."""
    head = "".join(f'<th scope="col">{_escape(text)}</th>' for text in heads)
    body = "".join(
        f'<tr><th scope="row">{_escape(first)}</th>'
        + "".join(f"<td>{_escape(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="scroll"><table><caption>{_escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _components(number: int, item: GalleryItem) -> str:
    """What of the picture each component of the fit went by, as small pictures."""
    if item.patches is None:
        return ""
    pictures = "".join(
        f'<img src="{_png(highlighted(_picture(item), weights))}" '
        f'alt="Example {number}: where component {place} lies.">'
        for place, weights in enumerate(item.patches, start=1)
    )
    return f'<p class="components">{pictures}<small>where the components of the fit lie</small></p>'


def _picture(item: GalleryItem) -> Image.Image:
    return Image.fromarray(item.image.permute(1, 2, 0).contiguous().cpu().numpy())


def _png(picture: Image.Image) -> str:
    """The picture, pixel by pixel, as an address that holds it."""
    content = io.BytesIO()
    picture.save(content, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}&nbsp;%"


def _escape(text: object) -> str:
    return html_text(str(text))
