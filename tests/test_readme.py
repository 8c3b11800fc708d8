import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_example_runs():
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    scope: dict[str, object] = {}
    exec(compile(example, str(README), "exec"), scope)
    assert "out" in scope
