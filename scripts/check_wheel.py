"""Whether a wheel has what a package index shows, and every file of the package.

python scripts/check_wheel.py WHEEL
"""

from __future__ import annotations

import re
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src"
FIELDS = (
    "Summary",
    "Description-Content-Type",
    "License-Expression",
    "Requires-Python",
    "Project-URL",
    "Classifier",
    "Keywords",
)
RELATIVE_LINK = re.compile(r"\]\((?!https://|#)([^)]*)\)")


def problems(wheel: Path) -> list[str]:
    """What is wrong with a wheel, in words.

    Args:
        wheel: The file.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode("utf-8")
    fields = Parser().parsestr(text)
    files = (
        path for path in (SOURCE / "vkood").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    places = sorted(path.relative_to(SOURCE).as_posix() for path in files)
    wrong = [f"the wheel lacks {place}" for place in places if place not in names]
    wrong += [f"its metadata lacks {field}" for field in FIELDS if not fields.get_all(field)]
    wrong += [f"its description has the relative link {link}" for link in RELATIVE_LINK.findall(text)]
    foreign = {name.partition("/")[0] for name in names} - {"vkood", metadata.partition("/")[0]}
    return wrong + [f"it would install {name}, beside the package" for name in sorted(foreign)]


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    wheel = Path(sys.argv[1])
    wrong = problems(wheel)
    print("\n".join(wrong) or f"{wheel.name} has all files of the package, and its metadata.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
