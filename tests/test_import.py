import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import vkood

PUBLIC_NAMES = {
    "Anderson",
    "BlipVkoodConfig",
    "BlipVkoodForImageTextRetrieval",
    "BlipVkoodForVisualQuestionAnswering",
    "BlipVkoodForVisualReasoning",
    "BlipVkoodModel",
    "Calibration",
    "ConceptTagger",
    "Diagonal",
    "Explanation",
    "Fact",
    "FactFilter",
    "FactStore",
    "Full",
    "Gate",
    "GateConfig",
    "GateOutput",
    "Implicit",
    "Isotropic",
    "KernelGate",
    "LastIterate",
    "LinkedFact",
    "Mixture",
    "Neumann",
    "OutlierDetector",
    "OutlierLayer",
    "PhotoExplanation",
    "Picard",
    "PictureConcepts",
    "Prior",
    "Solution",
    "Spherical",
    "Squarem",
    "Status",
    "Tied",
    "Unrolled",
    "VkoodConfig",
    "VkoodForImageTextRetrieval",
    "VkoodForPreTraining",
    "VkoodForVisualQuestionAnswering",
    "VkoodForVisualReasoning",
    "VkoodModel",
    "VkoodProcessor",
    "__version__",
    "build_store",
    "data",
    "demo",
    "explain",
    "facts_for",
    "fit_mixture",
    "fixed_point",
    "gate_attention",
    "gating",
    "knowledge",
    "load_checkpoint",
    "load_model",
    "metrics",
    "mixture",
    "models",
    "pipelines",
    "solve",
    "tasks",
    "train",
}

COUNTED_IMPORT = """
import sys
before = set(sys.modules)
import vkood
print(*(set(sys.modules) - before))
"""

# The import system reads source and bytecode: that is what importing is. Anything else that is opened, every
# socket, process and foreign library is reported.
WATCHED_IMPORT = """
import sys

def report(event, arguments):
    if event == "open" and str(arguments[0]).endswith((".py", ".pyc")):
        return
    if event in ("open", "ctypes.dlopen", "subprocess.Popen", "os.system") or event.startswith("socket."):
        print(event, arguments)

sys.addaudithook(report)
import vkood
"""

HEAVY = {"jaxtyping", "matplotlib", "numpy", "rich", "sklearn", "torch", "transformers", "typer"}


def fresh_python(program: str) -> str:
    # -B: writing bytecode is the interpreter's business, and would be reported.
    command = [sys.executable, "-B", "-c", program]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_public_names_are_frozen():
    assert set(vkood.__all__) == PUBLIC_NAMES
    assert set(dir(vkood)) == PUBLIC_NAMES


@pytest.mark.parametrize("name", sorted(PUBLIC_NAMES))
def test_public_name_is_there(name: str):
    assert getattr(vkood, name) is not None


def test_type_checkers_and_the_interpreter_find_the_same_names():
    tree = ast.parse(Path(vkood.__file__).read_text(encoding="utf-8"))
    (block,) = [
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    for statement in block.body:
        for alias in statement.names:
            module = importlib.import_module(statement.module)
            here = getattr(vkood, alias.name)
            assert here is getattr(module, alias.name)
    imported = {alias.name for statement in block.body for alias in statement.names}
    assert imported | {"__version__"} == PUBLIC_NAMES


def test_no_public_name_of_pipelines_is_hidden_by_a_module():
    """An imported module becomes an attribute of its package, in the place of any name like its own."""
    assert vkood.pipelines.__file__ is not None
    modules = {path.stem for path in Path(vkood.pipelines.__file__).parent.glob("*.py")}
    assert modules.isdisjoint(vkood.pipelines.__all__)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(
        AttributeError, match="'vkood' has no attribute 'OutlierLayers'; did you mean 'OutlierLayer'"
    ):
        _ = vkood.OutlierLayers  # pyright: ignore[reportAttributeAccessIssue] - what the test is about
    assert not hasattr(vkood, "__wrapped__")


def test_import_loads_only_itself():
    loaded = set(fresh_python("import sys, vkood; print(*sys.modules)").split())
    assert loaded.isdisjoint(HEAVY)
    assert {name for name in loaded if name.startswith("vkood")} == {
        "vkood",
        "vkood.lazy_names",
        "vkood.registration",
    }


def test_import_touches_no_file_and_no_network():
    assert fresh_python(WATCHED_IMPORT) == ""


def test_import_is_fast():
    """It imports little, and Python's own modules alone: that takes some 20 ms, and does not vary with the machine."""
    imported = fresh_python(COUNTED_IMPORT).split()
    assert {name.partition(".")[0] for name in imported} - {"vkood"} <= sys.stdlib_module_names
    assert len(imported) < 60
