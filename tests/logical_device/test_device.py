"""The logical device itself: it remembers, refuses and counts. Each test fails if it stops to do so."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.logical_device.device import logical_cuda
from tests.logical_device.log import Log


@pytest.fixture
def log() -> Iterator[Log]:
    """The log of a logical device that is there during the test."""
    with logical_cuda() as log:
        yield log


def there(*size: int) -> Tensor:
    return torch.ones(size, device="cuda")


MADE: dict[str, Callable[[], Tensor | None]] = {
    "zeros": lambda: torch.zeros(3, device="cuda"),
    "a device object": lambda: torch.empty(3, device=torch.device("cuda")),
    "a number of the device": lambda: torch.full((3,), 2.0, device="cuda:0"),
    "range": lambda: torch.arange(3, device="cuda"),
    "random": lambda: torch.randn(3, device="cuda"),
    "its generator": lambda: torch.rand(3, device="cuda", generator=torch.Generator(device="cuda")),
    "data": lambda: torch.tensor([1.0, 2.0], device="cuda"),
    "to": lambda: torch.ones(3).to("cuda"),
    "to and a type": lambda: torch.ones(3).to("cuda", torch.float64),
    "to a keyword": lambda: torch.ones(3).to(device=torch.device("cuda"), non_blocking=True),
    "to another": lambda: torch.ones(3).to(there(1)),
    "cuda": lambda: torch.ones(3).cuda(),
    "like": lambda: torch.zeros_like(there(3)),
    "like on it": lambda: torch.zeros_like(torch.ones(3), device="cuda"),
    "new": lambda: there(3).new_zeros(2),
    "new data": lambda: there(3).new_tensor([1.0]),
    "result": lambda: torch.ones(3).cuda() * 2,
    "view": lambda: there(4).view(2, 2)[0],
    "detached": lambda: there(4).requires_grad_().detach(),
    "with a number of the host": lambda: there(3) * torch.tensor(2.0),
    "by indices of the host": lambda: there(3)[torch.tensor([0, 2])],
    "several": lambda: torch.stack([there(3), there(3)]).split(1)[0],
    "module": lambda: nn.Linear(2, 2).to("cuda").weight,
    "module made there": lambda: nn.Linear(2, 2, device="cuda").weight,
    "buffer": lambda: nn.BatchNorm1d(2).cuda().running_mean,
    "sparse": lambda: _sparse_gradient().coalesce().values(),
    "copied module": lambda: copy.deepcopy(nn.Linear(2, 2).cuda()).weight,
    "copied tensor": lambda: copy.deepcopy(there(3)),
    "dropout": lambda: functional.dropout(there(9), 0.5),
    "autocast": lambda: _autocast(),
}  # fmt: skip


def _sparse_gradient() -> Tensor:
    bag = nn.EmbeddingBag(4, 2, mode="sum", sparse=True).cuda()
    bag(torch.tensor([1, 1], device="cuda"), torch.tensor([0], device="cuda")).sum().backward()
    assert bag.weight.grad is not None
    return bag.weight.grad


def _autocast() -> Tensor:
    with torch.autocast("cuda", torch.bfloat16):
        found: Tensor = there(2, 2) @ there(2, 2)
    assert found.dtype == torch.bfloat16
    return found


@pytest.mark.parametrize("how", MADE)
def test_what_is_made_or_moved_there_is_there(log: Log, how: str) -> None:
    tensor = MADE[how]()
    assert tensor is not None
    assert (tensor.device, tensor.is_cuda) == (torch.device("cuda", 0), True)
    assert (tensor + tensor).device.type == "cuda"


def test_everything_else_stays_on_the_host(log: Log) -> None:
    there(3)
    here = [torch.ones(3), torch.ones(3).to("cpu"), there(3).cpu(), nn.Linear(2, 2).weight, torch.randn(2) * 2]
    here += [torch.zeros_like(there(2), device="cpu"), nn.Linear(2, 2).cuda().cpu().weight]
    assert {tensor.device.type for tensor in here} == {"cpu"}


def test_gradients_and_an_optimizer_s_state_are_where_the_parameter_is(log: Log) -> None:
    layer = nn.Linear(3, 2).cuda()
    adam = torch.optim.Adam(layer.parameters(), fused=True)
    layer(torch.ones(4, 3).cuda()).square().mean().backward()
    adam.step()
    assert layer.weight.grad is not None
    state = adam.state[layer.weight]
    assert {t.device.type for t in (layer.weight.grad, state["step"], state["exp_avg"])} == {"cuda"}


def test_a_gradient_comes_back_to_the_host(log: Log) -> None:
    leaf = torch.ones(3, requires_grad=True)
    (leaf.cuda() * 2).sum().backward()
    assert leaf.grad is not None
    assert (leaf.grad.device.type, leaf.grad.tolist()) == ("cpu", [2.0] * 3)


REFUSED: dict[str, Callable[[], object]] = {
    "sum": lambda: there(3) + torch.ones(3),
    "product": lambda: there(2, 2) @ torch.ones(2, 2),
    "one element with a dimension": lambda: there(3) * torch.ones(1),
    "list": lambda: torch.cat([there(3), torch.ones(3)]),
    "numbers in a list": lambda: torch.stack([there(), torch.ones(())]),
    "module": lambda: nn.Linear(3, 2).cuda()(torch.ones(1, 3)),
    "input": lambda: nn.Linear(3, 2)(there(1, 3)),
    "table": lambda: nn.Embedding(3, 2).cuda()(torch.tensor([1])),
    "indices there": lambda: torch.ones(3)[torch.tensor([1], device="cuda")],
    "index of rows": lambda: there(3, 2).index_select(0, torch.tensor([1])),
    "scalar of the host changed": lambda: torch.ones(()).add_(there()),
    "foreach": lambda: torch._foreach_add_([there(3), there(3)], [there(3), torch.ones(3)]),
    "generator": lambda: torch.rand(3, device="cuda", generator=torch.Generator()),
    "generator of the device": lambda: torch.rand(3, generator=torch.Generator(device="cuda")),
    "another device": lambda: torch.ones(3, device="cuda:1"),
    "moved to another": lambda: torch.ones(3).to("cuda:1"),
    "backward": lambda: torch.autograd.backward(there(3).requires_grad_().sum(), torch.ones(())),
    "gradient": lambda: torch.autograd.backward(there(3).requires_grad_() * 2, torch.ones(3)),
}


@pytest.mark.parametrize("what", REFUSED)
def test_devices_do_not_mix(log: Log, what: str) -> None:
    with pytest.raises(RuntimeError):
        REFUSED[what]()


def test_an_array_is_refused_as_torch_refuses_it(log: Log) -> None:
    for made in (Tensor.numpy, np.asarray):
        with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
            made(there(3))
    assert np.asarray(there(3).cpu()).tolist() == [1.0] * 3
    assert log.waits.total() == 1


WAITS: dict[str, tuple[int, Callable[[Tensor], object]]] = {
    "item": (1, lambda t: t.sum().item()),
    "float": (1, lambda t: float(t[0])),
    "truth": (1, lambda t: bool((t > 2).any())),
    "if": (1, lambda t: 1 if t[0] > 0 else 2),
    "list": (1, lambda t: t.tolist()),
    "cpu": (1, lambda t: t.cpu()),
    "to the host": (1, lambda t: t.to("cpu")),
    "to the host later": (1, lambda t: t.to("cpu", non_blocking=True)),
    "array": (1, lambda t: t.numpy(force=True)),
    "nonzero": (1, lambda t: t.nonzero()),
    "mask": (1, lambda t: t[t > 1]),
    "mask set": (1, lambda t: t.index_put_((t > 1,), there())),
    "masked": (1, lambda t: t.masked_select(t > 1)),
    "distinct": (1, lambda t: t.unique()),
    "distinct neighbours": (1, lambda t: t.unique_consecutive()),
    "repeated": (1, lambda t: t.repeat_interleave(t.long())),
    "equal": (1, lambda t: torch.equal(t, t)),
    "inverse": (1, lambda t: torch.linalg.inv(torch.eye(2, device="cuda"))),
    "copy": (1, lambda t: torch.empty(3).copy_(t)),
    "sent": (1, lambda t: torch.ones(3).to("cuda")),
    "data sent": (1, lambda t: torch.tensor([1.0], device="cuda")),
    "copy there": (1, lambda t: t.copy_(torch.ones(3))),
    "indices sent": (1, lambda t: t[torch.tensor([0])]),
    "all": (1, lambda t: torch.cuda.synchronize()),
    "in a backward pass": (1, lambda t: _hooked(t)),
    "sent later": (0, lambda t: torch.ones(3).pin_memory().to("cuda", non_blocking=True)),
    "known number": (0, lambda t: t.repeat_interleave(t.long(), output_size=3)),
    "where": (0, lambda t: torch.where(t > 1, t, 0.0)),
    "slice": (0, lambda t: t[1:].sum() * 2),
    "made there": (0, lambda t: torch.zeros(3, device="cuda")),
    "of the host": (0, lambda t: torch.ones(3).sum().item()),
}


def _hooked(t: Tensor) -> None:
    leaf = t.clone().requires_grad_()
    leaf.register_hook(lambda gradient: gradient * float(gradient[0]))
    torch.autograd.backward(leaf.sum())


@pytest.mark.parametrize("how", WAITS)
def test_waits_are_counted(log: Log, how: str) -> None:
    tensor = there(3)
    log.clear()
    expected, call = WAITS[how]
    call(tensor)
    assert log.waits.total() == expected, log.transfers


def test_a_transfer_has_its_place_in_the_code(log: Log) -> None:
    there(3).cpu()
    here = "test_a_transfer_has_its_place_in_the_code"
    assert log.waits == {f"tests/logical_device/test_device.py:{here}": 1}


def test_who_reads_a_late_copy_too_early_reads_nonsense(log: Log) -> None:
    place, event, later = torch.empty(3, pin_memory=True), torch.cuda.Event(), torch.empty(3, pin_memory=True)
    place.copy_(there(3), non_blocking=True)
    event.record()
    later.copy_(there(3), non_blocking=True)
    assert place.isnan().all()
    event.synchronize()
    assert (place.tolist(), bool(later.isnan().all())) == ([1.0] * 3, True)
    assert log.waits.total() == 0, "an event is waited for, not the device"


def test_each_device_has_its_own_global_generator(log: Log) -> None:
    torch.manual_seed(1)
    first, here = torch.rand(3, device="cuda").tolist(), torch.get_rng_state()
    position = torch.cuda.get_rng_state()
    second = torch.rand(3, device="cuda").tolist()
    assert torch.equal(torch.get_rng_state(), here), "the host's generator stays where it was"
    torch.cuda.set_rng_state(position)
    assert torch.rand(3, device="cuda").tolist() == second
    torch.cuda.manual_seed(1)
    assert torch.rand(3, device="cuda").tolist() == first


def test_weights_on_disk_have_no_place(log: Log) -> None:
    layer, file = nn.Linear(2, 2).cuda(), io.BytesIO()
    torch.save({name: value.cpu() for name, value in layer.state_dict().items()}, file)
    file.seek(0)
    assert {value.device.type for value in torch.load(file, weights_only=True).values()} == {"cpu"}


def test_nothing_is_left_afterwards() -> None:
    before = {name: getattr(Tensor, name) for name in ("to", "cpu", "device", "numpy", "__deepcopy__")}
    with logical_cuda():
        there(3)
    assert {name: getattr(Tensor, name) for name in before} == before
    assert pickle.loads(pickle.dumps(torch.ones(2))).device.type == "cpu"
    with pytest.raises((AssertionError, RuntimeError)):
        torch.zeros(1, device="cuda")
