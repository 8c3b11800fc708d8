"""`vkood demo`: what is known about five photographs that come with packages, and which of it belongs to them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING

from vkood.extras import install_command
from vkood.files import write_text

if TYPE_CHECKING:
    from vkood.reporting.photo_explanation import PhotoExplanation

PAGE, RECORD = "photographs.html", "photographs.json"
"""The files of the demonstration."""

# Of each: the package, its file, and a question. china.jpg is CC BY 2.0 (danielbuechele); the others are in the public
# domain or CC0, as `skimage.data` documents them.
_PHOTOGRAPHS = {
    "palace": ("sklearn", "datasets/images/china.jpg", "Is it made of stone or of steel?"),
    "cat": ("skimage", "data/chelsea.png", "Does it bark, or does it purr?"),
    "coffee": ("skimage", "data/coffee.png", "Is it hot or cold?"),
    "rocket": ("skimage", "data/rocket.jpg", "Does it fly or swim?"),
    "camera": ("skimage", "data/camera.png", "How many legs does it have?"),
}


def demo_photographs() -> dict[str, Path]:
    """The photographs' files, by what they show.

    The packages are not imported: their files are enough.

    Raises:
        ImportError: If scikit-image is not installed.

    Example:
        >>> list(demo_photographs())
        ['palace', 'cat', 'coffee', 'rocket', 'camera']
    """
    return {name: _file(package, file) for name, (package, file, _) in _PHOTOGRAPHS.items()}


def demo_questions() -> dict[str, str]:
    """A question about each of the photographs, by what they show.

    Example:
        >>> demo_questions()["rocket"]
        'Does it fly or swim?'
    """
    return {name: question for name, (_, _, question) in _PHOTOGRAPHS.items()}


def explain_photographs(output: Path) -> list[PhotoExplanation]:
    """Explain each photograph, with a question about it, and write the page and the record.

    Args:
        output: Folder for `photographs.html` and `photographs.json`; it has to exist.

    Returns:
        What is known about each photograph.
    """
    from vkood.pipelines.photo_explainer import PhotoExplainer
    from vkood.reporting.photo_explanation import save_page

    explainer = PhotoExplainer()
    questions = demo_questions()
    explained = [explainer(path, questions[name]) for name, path in demo_photographs().items()]
    save_page(explained, output / PAGE)
    record = [photo.as_dict() for photo in explained]
    write_text(output / RECORD, json.dumps(record, indent=1) + "\n")
    return explained


def _file(package: str, file: str) -> Path:
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder) / file).is_file():
            return path
    raise ImportError(f"The photographs come with scikit-image and scikit-learn: {install_command('demo')}.")
