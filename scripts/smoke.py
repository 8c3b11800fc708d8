"""Import every module, and let a gate learn a step: what an installation must be able to do whatever its versions.

Adapters for other frameworks and the app are left out: they need these.
"""

import importlib
import pkgutil

import torch

import vkood


def main() -> None:
    """Fail where something cannot be imported or does not work."""
    modules = [module.name for module in pkgutil.walk_packages(vkood.__path__, "vkood.")]
    left_out = (".integrations.", ".app.")
    names = [
        name
        for name in modules
        if not name.endswith("__main__") and not any(part in name for part in left_out)
    ]
    for name in names:
        importlib.import_module(name)
    for backend in ("torch", "numba"):
        layer = vkood.OutlierLayer(8, context_dim=6, family=vkood.Diagonal(), backend=backend)
        output = layer(torch.randn(2, 3, 8), context=torch.randn(2, 20, 6))
        output.gate.sum().backward()
        assert output.backend == backend
    print(f"{len(names)} modules imported; the layer works with both back ends.")


if __name__ == "__main__":
    main()
