"""GradDrop against its formula, element by element, and its promises."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gradops.base import generator_at
from gradops.methods import GradDrop


def cotangents(tasks: int, seed: int) -> Tensor:
    return torch.randn(tasks, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def combine(method: GradDrop, cotangent_TBD: Tensor, seed: int = 0) -> Tensor:
    state = method.init(len(cotangent_TBD), torch.Generator().manual_seed(seed))
    return method.combine(cotangent_TBD, state)[0]


def paper(cotangent_TBD: Tensor, drawn_BD: Tensor, leak: list[float]) -> Tensor:
    """Algorithm 1, one element at a time."""
    combined_BD = torch.zeros_like(drawn_BD)
    for row in range(drawn_BD.shape[0]):
        for column in range(drawn_BD.shape[1]):
            values = cotangent_TBD[:, row, column].tolist()
            size = sum(abs(v) for v in values)
            positive = 0.5 * (1 + sum(values) / size) if size else 0.5
            u = float(drawn_BD[row, column])
            for value, share in zip(values, leak, strict=True):
                mask = float(value > 0 and positive > u) + float(value < 0 and positive < u)
                combined_BD[row, column] += (share + (1 - share) * mask) * value
    return combined_BD


@pytest.mark.parametrize("leak", [(), (0.0, 0.3, 1.0)])
@pytest.mark.parametrize("seed", range(3))
def test_graddrop_is_the_papers(leak: tuple[float, ...], seed: int) -> None:
    cotangent_TBD = cotangents(3, seed)
    cotangent_TBD[:, 0] = 0.0
    generator = torch.Generator().manual_seed(seed)
    drawn_BD = torch.rand(7, 5, dtype=torch.float64, generator=generator)
    found_BD = combine(GradDrop(leak=leak), cotangent_TBD, seed)
    torch.testing.assert_close(found_BD, paper(cotangent_TBD, drawn_BD, list(leak or (0.0,) * 3)))


def test_every_element_is_of_one_sign_and_agreeing_gradients_are_kept_whole() -> None:
    cotangent_TBD = cotangents(4, 0)
    combined_BD = combine(GradDrop(), cotangent_TBD)
    positive_BD, negative_BD = cotangent_TBD.clamp(min=0).sum(0), cotangent_TBD.clamp(max=0).sum(0)
    assert (torch.isclose(combined_BD, positive_BD) | torch.isclose(combined_BD, negative_BD)).all()
    agreeing_TBD = cotangent_TBD.abs()
    torch.testing.assert_close(combine(GradDrop(), agreeing_TBD), agreeing_TBD.sum(0))


def test_the_expected_gradient_keeps_the_sign_of_the_sum() -> None:
    """An element keeps its positive gradients with probability P: over many draws their mean follows."""
    cotangent_TBD = cotangents(3, 1)
    method = GradDrop()
    state, total_BD, draws = method.init(3, torch.Generator().manual_seed(0)), torch.zeros(7, 5).double(), 4000
    for _ in range(draws):
        combined_BD, state = method.combine(cotangent_TBD, state)
        total_BD += combined_BD
    share_BD = (1 + cotangent_TBD.sum(0) / cotangent_TBD.abs().sum(0)) / 2
    positive_BD, negative_BD = cotangent_TBD.clamp(min=0).sum(0), cotangent_TBD.clamp(max=0).sum(0)
    expected_BD = share_BD * positive_BD + (1 - share_BD) * negative_BD
    # The mean of 4000 draws of a two-valued number is within 5 of its standard deviations.
    deviation_BD = (positive_BD - negative_BD) * (share_BD * (1 - share_BD) / draws).sqrt()
    assert ((total_BD / draws - expected_BD).abs() <= 5 * deviation_BD + 1e-12).all()


@pytest.mark.parametrize("tasks", [1, 2, 3, 8])
@pytest.mark.parametrize("scale", [0.0, 1e-10, 1.0, 1e15])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_finite_gradient_of_the_same_type_whatever_the_scale(tasks: int, scale: float, dtype: torch.dtype) -> None:
    cotangent_TBD = (scale * cotangents(tasks, 2)).to(dtype)
    combined_BD = combine(GradDrop(), cotangent_TBD)
    assert combined_BD.shape == (7, 5)
    assert combined_BD.dtype == dtype
    assert combined_BD.isfinite().all()
    if tasks == 1:
        assert torch.equal(combined_BD, cotangent_TBD[0])


def test_order_of_tasks_does_not_matter_and_scaling_scales() -> None:
    cotangent_TBD = cotangents(4, 3)
    combined_BD = combine(GradDrop(), cotangent_TBD)
    torch.testing.assert_close(combine(GradDrop(), cotangent_TBD[[2, 0, 3, 1]]), combined_BD)
    torch.testing.assert_close(combine(GradDrop(), 1024 * cotangent_TBD), 1024 * combined_BD, rtol=0, atol=0)


def test_state_goes_on_and_is_left_alone() -> None:
    method, cotangent_TBD = GradDrop(), cotangents(3, 4)
    state = method.init(3, torch.Generator().manual_seed(0))
    before = state["generator"].clone()
    first_BD, after = method.combine(cotangent_TBD, state)
    again_BD, _ = method.combine(cotangent_TBD, state)
    next_BD, _ = method.combine(cotangent_TBD, after)
    assert torch.equal(first_BD, again_BD)
    assert not torch.equal(first_BD, next_BD)
    assert torch.equal(state["generator"], before)
    generator = generator_at(state["generator"])
    torch.rand(7, 5, dtype=torch.float64, generator=generator)
    assert torch.equal(generator.get_state(), after["generator"])


def test_a_wrong_number_of_leaks_is_named() -> None:
    with pytest.raises(ValueError, match=r"`leak` should hold 3 numbers, one a task\. Found 2"):
        GradDrop(leak=(0.5, 0.5)).init(3, torch.Generator())
