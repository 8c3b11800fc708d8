import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_examples_run(capsys):
    layer, facts = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    scope: dict[str, object] = {}
    exec(compile(layer, str(README), "exec"), scope)
    assert "out" in scope
    capsys.readouterr()
    exec(compile(facts, str(README), "exec"), {})
    assert "umbrella -> an umbrella" in capsys.readouterr().out
