"""PyTorch modules: the numbers of each are the module's own, and the module is left as it was. Skipped, with
the reason in pytest's summary, where PyTorch is not installed; what is said then is tested everywhere."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import logging
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import hwsim
from hwsim.errors import CapacityError, SpecError, UnsupportedError
from hwsim.functional import execute
from hwsim.workload import Workload
from hwsim.workload.frontends.torch import NEEDED, from_torch
from tests.processes import printed

ABSENT = [name for name in NEEDED if importlib.util.find_spec(name) is None]
needs_torch = pytest.mark.skipif(
    bool(ABSENT), reason=f"{' and '.join(ABSENT)} not installed: from_torch is not tested (`make torch`)"
)
if TYPE_CHECKING or not ABSENT:
    import torch
    from torch import nn

    from tests import torch_modules as modules


@pytest.mark.parametrize("missing", NEEDED)
def test_a_missing_package_is_named_with_the_cure(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.import_module

    def without(name: str) -> Any:
        if name == missing:
            raise ImportError(f"No module named {name!r}")
        return found("math" if name in ABSENT else name)

    monkeypatch.setattr("hwsim.workload.frontends.torch.importlib.import_module", without)
    with pytest.raises(UnsupportedError) as caught:
        from_torch(object(), object())  # type: ignore[arg-type]
    assert str(caught.value) == (
        f"from_torch needs PyTorch, and {missing} cannot be imported here (No module named {missing!r}): "
        "pip install 'hwsim[torch]'"
    )


# -- numbers ---------------------------------------------------------------------------------------------


def agrees(net: Workload, expected: list[torch.Tensor], *given: torch.Tensor) -> None:
    """Execution in fp32 gives what the module gives, up to roundings: 1e-5 of the largest number."""
    inputs = {name: values.numpy() for name, values in zip(net.inputs, given, strict=True)}
    found = execute(net.astype("fp32"), inputs)
    assert len(net.outputs) == len(expected)
    for name, wanted in zip(net.outputs, expected, strict=True):
        values = wanted.numpy()
        assert found[name].shape == values.shape
        assert np.abs(found[name] - values).max() <= 1e-5 * np.abs(values).max(), name


def cases() -> dict[str, tuple[Callable[[], nn.Module], Callable[[], torch.Tensor]]]:
    if ABSENT:
        return {}
    return {
        "resnet18": (lambda: modules.settled(modules.ResNet18(8, 10)), lambda: torch.randn(2, 3, 64, 64)),
        "lstm": (lambda: nn.LSTM(8, 16), lambda: torch.randn(5, 2, 8)),
        "lstm both ways, two layers, batch first": (
            lambda: nn.LSTM(8, 16, 2, batch_first=True, bidirectional=True),
            lambda: torch.randn(3, 5, 8),
        ),
        "gru": (lambda: nn.GRU(8, 16, 2), lambda: torch.randn(5, 2, 8)),
        "transformer encoder layer": (
            lambda: nn.TransformerEncoderLayer(32, 4, 64, batch_first=True),
            lambda: torch.randn(2, 6, 32),
        ),
        "transformer encoder layer, norms first, gelu": (
            lambda: nn.TransformerEncoderLayer(32, 4, 64, activation="gelu", norm_first=True),
            lambda: torch.randn(6, 2, 32),
        ),
        "gpt": (modules.Gpt, lambda: torch.randint(0, 50, (2, 8))),
    }


@needs_torch
@pytest.mark.parametrize("case", cases())
def test_numbers_are_the_module_s_own(case: str) -> None:
    make, draw = cases()[case]
    torch.manual_seed(5)
    module, x = make(), draw()
    net = from_torch(module, x)
    agrees(net, modules.results(module, x), x)
    assert net.name == type(module).__name__
    assert net.source.format == "torch"
    assert net.parameter_count == sum(p.numel() for p in module.parameters())


@needs_torch
def test_macs_of_resnet18_are_those_of_the_literature() -> None:
    """1.8 billion (He et al. 2016, table 1, which leaves the shortcuts' projections out) and 11.7 million
    parameters, as of the shipped resnet18."""
    net = from_torch(modules.ResNet18(), torch.zeros(1, 3, 224, 224))
    shipped = hwsim.load_workload("resnet18")
    assert (net.macs, net.parameter_count) == (shipped.macs, shipped.parameter_count)


@needs_torch
def test_inputs_by_order_and_by_name() -> None:
    module, x, scale = modules.Modes(), torch.randn(3, 4), torch.randn(2)
    expected = modules.results(module, x, scale=scale)
    agrees(from_torch(module, {"x": x, "scale": scale}, name="scaled"), expected, x, scale)
    agrees(from_torch(module, (x,)), modules.results(module, x), x)


# -- what is left behind ---------------------------------------------------------------------------------


@needs_torch
def test_the_module_and_the_process_are_left_as_they_were(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    module = nn.Sequential(nn.LSTM(4, 4), modules.Modes())[0]
    whole = nn.ModuleDict({"lstm": module, "modes": modules.Modes()})
    whole.train()
    whole["modes"].last.eval()
    before = copy.deepcopy(whole.state_dict())
    modes = [part.training for part in whole.modules()]
    parts = [id(p) for p in whole.parameters()]
    x = torch.randn(3, 2, 4, requires_grad=True)
    drawn, disabled, random_state = torch.get_rng_state(), logging.root.manager.disable, random.getstate()
    from_torch(whole["lstm"], x)
    from_torch(whole["modes"], x)
    with pytest.raises(UnsupportedError):
        from_torch(modules.Branches(), x)
    assert [part.training for part in whole.modules()] == modes
    assert [id(p) for p in whole.parameters()] == parts
    assert all(p.requires_grad and p.grad is None for p in whole.parameters())
    assert all(torch.equal(values, before[name]) for name, values in whole.state_dict().items())
    assert all(
        weight is found for weight, found in zip(module._flat_weights, module.parameters(), strict=True)
    )
    assert torch.equal(torch.get_rng_state(), drawn)
    assert torch.is_grad_enabled()
    assert logging.root.manager.disable == disabled
    assert random.getstate() == random_state
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


PROGRAM = """
import torch
from hwsim.workload.frontends.torch import from_torch
torch.manual_seed(1)
parts = (torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(16, 2))
found = from_torch(torch.nn.Sequential(*parts), torch.zeros(1, 3, 4, 4)).content_hash
"""


@needs_torch
def test_the_same_module_is_the_same_workload_in_every_process() -> None:
    here: dict[str, Any] = {}
    exec(PROGRAM, here)  # noqa: S102 - as it stands in the other process
    assert printed(PROGRAM + "print(found)", hash_seed=1).decode().strip() == here["found"]
    exec(PROGRAM.replace("seed(1)", "seed(2)"), other := {})  # noqa: S102
    assert other["found"] != here["found"]


# -- what is wrong ---------------------------------------------------------------------------------------


@needs_torch
def test_a_module_that_cannot_be_exported_says_why_and_what_to_do() -> None:
    with pytest.raises(UnsupportedError) as caught:
        from_torch(modules.Branches(), torch.ones(3))
    said = str(caught.value)
    assert said.startswith("torch.onnx.export cannot export Branches: GuardOnDataDependentSymNode: Could not")
    assert said.endswith("or export the module yourself and load the .onnx file")
    assert len(said.splitlines()) == 1


@needs_torch
def test_an_lstm_with_projections_is_refused_since_its_export_lacks_them() -> None:
    module = nn.Sequential(nn.LSTM(8, 16, proj_size=6))
    with pytest.raises(UnsupportedError, match="Sequential holds an LSTM with proj_size"):
        from_torch(module, torch.randn(5, 2, 8))


@needs_torch
def test_an_export_that_gives_other_shapes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwsim.workload.frontends.torch._refuse_projections", lambda *_: None)
    with pytest.raises(UnsupportedError, match=r"LSTM gives .* \[1, 2, 16\], and what .* rightly"):
        from_torch(nn.LSTM(8, 16, proj_size=6), torch.randn(5, 2, 8))


@needs_torch
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (lambda: (3, torch.ones(1)), "a module is a torch.nn.Module, not int"),
        (lambda: (nn.Linear(3, 2), [torch.ones(3)]), "example_input is list: give a tensor, or a tuple"),
        (lambda: (nn.Linear(3, 2), ()), "example_input is tuple: give a tensor, or a tuple or mapping with"),
        (lambda: (nn.Linear(3, 2), {1: torch.ones(3)}), "its keys must be names"),
        (lambda: (nn.Linear(3, 2), torch.ones(5)), "Linear does not run on its example input: RuntimeError"),
        (lambda: (nn.Linear(3, 2), {"y": torch.ones(3)}), "Linear does not run on its example input: TypeE"),
    ],
)
def test_arguments_that_make_no_sense(arguments: Callable[[], tuple[Any, Any]], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        from_torch(*arguments())
    assert said in str(caught.value)


@needs_torch
@pytest.mark.parametrize("name", ["", "a b", "../x", "-a", 7])
def test_a_name_that_cannot_name_a_folder(name: str) -> None:
    with pytest.raises(SpecError, match="name is"):
        from_torch(nn.Linear(3, 2), torch.ones(1, 3), name=name)


@needs_torch
def test_a_module_too_large_for_a_graph_in_memory_is_refused_before_it_is_copied() -> None:
    with torch.device("meta"):
        module = nn.Linear(30_000, 30_000)
    with pytest.raises(CapacityError, match=r"Linear holds 3\.35 GiB of weights, .* at most 2 GiB"):
        from_torch(module, torch.ones(1, 30_000, device="meta"))
