"""A gate's configuration: the objects of the layer, as JSON and a command line hold them."""

from __future__ import annotations

import json

import pytest
import torch

from support.every_model import blip_config, two_stream_config
from vkood.gating import KernelGate, OutlierLayer
from vkood.gating.configuration import GateConfig
from vkood.mixture import Diagonal, Full, Isotropic, Spherical, Tied
from vkood.solve import Anderson, Implicit, LastIterate, Neumann, Picard, Squarem, Unrolled

CONFIGS = {"two-stream": two_stream_config, "BLIP": blip_config}


@pytest.mark.parametrize("family", CONFIGS)
def test_options_of_solvers_and_gradients_survive_a_folder(family, tmp_path):
    gate = GateConfig(
        solver=Anderson(history=3, tolerance=1e-4),
        gradient=Implicit(max_steps=7),
        family=Full(),
        backend="torch",
    )
    config = CONFIGS[family](gate=gate)
    config.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["gate"]["solver"]["history"] == 3
    loaded = type(config).from_pretrained(tmp_path)
    assert loaded.gate == gate
    assert type(config).from_pretrained(tmp_path, gate={"joint_dim": 4}).gate == GateConfig(joint_dim=4)
    layer = loaded.gate.build(12, 16)
    assert isinstance(layer, OutlierLayer)
    assert (layer.solver, layer.gradient, layer.family, layer.backend) == (
        gate.solver,
        gate.gradient,
        Full(),
        "torch",
    )


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("solver", [Squarem(longest=2.0), Anderson(history=2), Picard(damping=0.5)]),
        ("gradient", [LastIterate(), Neumann(3), Implicit(1e-3), Unrolled()]),
        ("family", [Spherical(kappa=4.0, background=0.1), Diagonal(), Isotropic(), Tied(), Full()]),
    ],
)
def test_every_object_is_taken_back_from_json(name, records):
    for record in records:
        config = GateConfig(**{name: record})
        assert GateConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_names_alone_and_single_fields_are_enough():
    assert GateConfig.from_dict(None) == GateConfig()
    config = GateConfig.from_dict({"solver": "anderson", "gradient": "implicit", "family": "tied"})
    assert config.solver == Anderson(tolerance=1e-3, max_steps=30)
    assert (config.gradient, config.family) == (Implicit(), Tied())
    assert GateConfig.from_dict({"solver": {"tolerance": 1e-5}}).solver == Squarem(
        tolerance=1e-5, max_steps=30
    )
    assert GateConfig.from_dict({"solver": Picard()}).solver == Picard()
    assert isinstance(GateConfig.from_dict({"kind": "kernel"}).build(3, 4), KernelGate)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "kernel", "joint": "shared"}, '`gate`: the `joint` of a kernel gate must be "separate"'),
        (
            {"family": Spherical(torch.ones(1))},
            "`gate`: the `kappa` of a configuration's `Spherical` must be a number",
        ),
        ({"solver": "newton"}, "`gate`: `solver` must be one of squarem, anderson, picard.*got 'newton'"),
        ({"solver": None}, "`gate`: `solver` must be one of"),
        ({"solver": {"type": 3}}, "`gate`: `solver` must be one of"),
        ({"solver": {"histroy": 5}}, "`gate`: `solver` must have fields of `Squarem`; got `histroy`"),
        (
            {"solver": {"type": "anderson", "histroy": 5}},
            r"`solver` must have fields of `Anderson`; got `histroy`; did you mean `history`\?",
        ),
        ({"solver": {"tolerance": -1}}, "`gate`: `solver`: `tolerance` must be a finite number from 0"),
        ({"gradient": {"type": "neumann", "terms": 0}}, "`gate`: `gradient`: `terms` must be a whole number"),
        ({"family": "round"}, "`gate`: `family` must be one of spherical, diagonal, isotropic, tied, full"),
        ({"backend": "cuda"}, "`gate`: `backend` must be one of torch, numba, triton"),
        ({"num_component": 3}, r"`gate` .* got `num_component`; did you mean `num_components`\?"),
        (3, "`gate` must have named options"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        GateConfig.from_dict(values)


@pytest.mark.usefixtures("unchecked")
def test_python_takes_names_and_dictionaries_as_json_does():
    assert GateConfig(solver="anderson", family={"type": "full"}) == GateConfig.from_dict(
        {"solver": "anderson", "family": "full"}
    )
    for value in ("andersen", Full(), None):
        with pytest.raises(ValueError, match="`solver` must be one of squarem, anderson, picard"):
            GateConfig(solver=value)


def test_a_gate_that_is_assigned_is_checked():
    config = two_stream_config()
    config.gate = {"joint_dim": 3}
    assert config.gate == GateConfig(joint_dim=3)
    with pytest.raises(ValueError, match="`gate`: `joint_dim` must be a whole number"):
        config.gate = {"joint_dim": 0}
