"""Rotations of the shared representation, one a task, and the leader that learns them: RotoGrad's half of the model.

The towers read ``r_k = R_k z``. The network is the follower: its losses never reach the rotations. The leader turns
each rotation so that the tasks' gradients at ``z`` align, by losses and an optimizer of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.autograd import Function, grad
from torch.autograd.function import once_differentiable
from torch.optim import RAdam

from gradops.group import Alone, Group, length, total
from gradops.skew import Pull, cayley, exponential

Map = Literal["exponential", "cayley"]
Loss = Literal["iclr", "v1"]
_MAPS: dict[Map, Callable[[Tensor], tuple[Tensor, Pull]]] = {"exponential": exponential, "cayley": cayley}


@dataclass(frozen=True, kw_only=True)
class Rotation:
    r"""Options of the towers' rotations: how they are made and how they are learned.

    Args:
        size: Dimensions of the shared representation that are rotated, the first ones; 0 for all of them.
        map: From skew-symmetric matrices :math:`A` to rotations: ``"exponential"``, :math:`e^A` as in the papers, or
            ``"cayley"``, :math:`(I - A/2)^{-1} (I + A/2)`, which costs one inverse and reaches all rotations but
            those that turn some direction by 180 degrees.
        loss: The leader's objective. ``"iclr"``: :math:`-\sum_n \langle R_k^\top \tilde g_{n,k}, v_n \rangle` with
            :math:`v_n` the mean over tasks of the gradients at :math:`z` scaled to unit length over the batch.
            ``"v1"``: :math:`\frac1B \sum_n \|R_k^\top \tilde g_{n,k} - v_n\|^2` with :math:`v_n = \sum_k
            \frac{R_k^\top \tilde g_{n,k}}{\|G_k\|} \|G\|\, s_k^\tau`, where :math:`G` is the network's combined
            gradient and :math:`s_k^\tau` the method's :meth:`gradops.base.Method.training_rate`. :math:`v_n` is a
            constant.
        cooperative_after: Steps after which the leader also descends the task's own loss, each of the two gradients
            scaled to the mean of their lengths; 0 for never.
        leader_lr: The leader's first learning rate, of RAdam. Above 0; keep it below the network's. A schedule of the
            network's rate scales it too.
        leader_decay: Factor of that rate after every step. In (0, 1].

    Raises:
        ValueError: If an option is outside its range.

    References:
        Javaloy and Valera, RotoGrad, arXiv 2103.02631, version 1 (``"v1"``, cooperative leader: equation 10) and ICLR
        2022 (``"iclr"``). Version 1 counts epochs, this counts steps, since an optimizer has no epochs. Rotations
        start at the identity, as in the authors' package.
    """

    size: int = 0
    map: Map = "exponential"
    loss: Loss = "iclr"
    cooperative_after: int = 0
    leader_lr: float = field(default=1e-4, metadata={"search": (1e-5, 1e-2)})
    leader_decay: float = 0.9999

    def __post_init__(self) -> None:
        whole = isinstance(self.size, int) and isinstance(self.cooperative_after, int)
        problems = [
            (whole, f"`size` and `cooperative_after` should be whole. Found {self.size}, {self.cooperative_after}."),
            (self.map in get_args(Map), f"`map` should be one of {', '.join(get_args(Map))}. Found `{self.map}`."),
            (self.loss in get_args(Loss), f"`loss` should be one of {', '.join(get_args(Loss))}. Found `{self.loss}`."),
            (self.size == 0 or self.size >= 2, f"`size` should be 0 or at least 2. Found `size = {self.size}`."),
            (self.cooperative_after >= 0, f"`cooperative_after` should be at least 0. Found {self.cooperative_after}."),
            (0 < self.leader_lr < float("inf"), f"`leader_lr` should be above 0. Found {self.leader_lr}."),
            (0 < self.leader_decay <= 1, f"`leader_decay` should be in (0, 1]. Found {self.leader_decay}."),
        ]
        if found := [message for holds, message in problems if not holds]:
            raise ValueError(" ".join(found))


@dataclass(frozen=True)
class _Made:
    """Rotations with the angles they were computed from, and the pull-back of gradients.

    Args:
        angles_TA: A copy of the angles.
        kind: The map.
        rotation_TSS: The rotations.
        pull: Turns a gradient with respect to the rotations into one with respect to the angles.
    """

    angles_TA: Tensor
    kind: Map
    rotation_TSS: Tensor
    pull: Pull

    @classmethod
    def of(cls, angles_TA: Tensor, place_2A: Tensor, size: int, kind: Map) -> _Made:
        """Rotations of angles, given the places of the angles and of their negatives in a flattened matrix."""
        place_A, mirrored_A = place_2A
        lower_TSS = angles_TA.new_zeros(len(angles_TA), size * size).index_copy_(1, place_A, angles_TA)
        lower_TSS = lower_TSS.view(-1, size, size)
        rotation_TSS, pull_skew = _MAPS[kind](lower_TSS - lower_TSS.mT)

        def pull(slope_TSS: Tensor) -> Tensor:
            flat_TS = pull_skew(slope_TSS).flatten(1)
            return flat_TS.index_select(1, place_A) - flat_TS.index_select(1, mirrored_A)

        return cls(angles_TA, kind, rotation_TSS, pull)

    def is_of(self, angles_TA: Tensor, kind: Map) -> bool:
        """Whether angles and map are still the same."""
        if (self.kind, self.angles_TA.dtype, self.angles_TA.device) != (kind, angles_TA.dtype, angles_TA.device):
            return False
        # By value: a parameter's version does not count writes to its `data`.
        return torch.equal(self.angles_TA, angles_TA)


class _Known(Function):
    """Rotations computed earlier, as a differentiable function of their angles."""

    @staticmethod
    def forward(ctx: Any, angles_TA: Tensor, made: _Made) -> Tensor:
        del angles_TA
        ctx.pull = made.pull
        return made.rotation_TSS.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope_TSS: Tensor) -> tuple[Tensor, None]:
        return ctx.pull(slope_TSS), None


class Rotations(nn.Module):
    """One rotation a task, the identity at first; a model reads its shared representation through them.

    The rotations are constants to the losses of the model: only :class:`Leader` moves them, so keep ``angles`` out of
    the network's optimizer.

    Args:
        rotation: Size and map.
        tasks: T.
        width: D, columns of the shared representation.

    Raises:
        ValueError: If ``rotation.size`` exceeds the width.

    Example:
        >>> rotations = Rotations(Rotation(), tasks=2, width=3)
        >>> z = torch.ones(5, 3)
        >>> [r.shape for r in rotations([z, z])]
        [torch.Size([5, 3]), torch.Size([5, 3])]
    """

    _place_2A: Tensor

    def __init__(self, rotation: Rotation, *, tasks: int, width: int) -> None:
        super().__init__()
        if rotation.size > width:
            raise ValueError(f"`size` should be at most the {width} columns there are. Found `size = {rotation.size}`.")
        self.rotation, self.width, self.size = rotation, width, rotation.size or width
        self.angles = nn.Parameter(torch.zeros(tasks, self.size * (self.size - 1) // 2))
        row_A, column_A = torch.tril_indices(self.size, self.size, -1)
        place_2A = torch.stack([row_A * self.size + column_A, column_A * self.size + row_A])
        self.register_buffer("_place_2A", place_2A, persistent=False)
        self._made: _Made | None = None

    def rotation_TSS(self) -> Tensor:
        """The rotations of the rotated dimensions, differentiable in ``angles``; recomputed when these change."""
        # Neither map is accurate in half precision.
        angles = self.angles.float() if self.angles.dtype.itemsize < 4 else self.angles
        made, kind = self._made, self.rotation.map
        if made is None or not made.is_of(angles, kind):
            # Independent of the first caller's mode and precision: all callers share it until the angles change.
            with torch.inference_mode(False), torch.autocast(angles.device.type, enabled=False):
                self._made = made = _Made.of(angles.detach().clone(), self._place_2A, self.size, kind)
        rotation_TSS: Tensor = _Known.apply(angles, made)  # type: ignore[no-untyped-call]  # torch leaves it so
        return rotation_TSS

    def __getstate__(self) -> dict[str, Any]:
        # A copy computes its own rotations: the cached ones hold a graph, which can be neither copied nor pickled.
        return self.__dict__ | {"_made": None}

    @torch.no_grad()
    def matrix_TDD(self) -> Tensor:
        """The full linear map of each task, the identity outside the rotated dimensions: ``r_k = matrix_k @ z``."""
        rotation_TSS = self.rotation_TSS()
        whole_TDD = torch.eye(self.width, dtype=rotation_TSS.dtype, device=rotation_TSS.device)
        whole_TDD = whole_TDD.repeat(len(rotation_TSS), 1, 1)
        whole_TDD[:, : self.size, : self.size] = rotation_TSS
        return whole_TDD

    def forward(self, views: Sequence[Tensor]) -> list[Tensor]:
        """Rotate T views B x D of the shared representation, one view a tower, by one product a task."""
        rotation_TSS = self.rotation_TSS().detach()
        turned = [view[:, : self.size] @ r.T.to(view.dtype) for view, r in zip(views, rotation_TSS, strict=True)]
        if self.size == self.width:
            return turned
        return [torch.cat([t, view[:, self.size :]], dim=1) for t, view in zip(turned, views, strict=True)]


class Leader:
    """Learns the rotations from the task gradients that pass through them.

    Args:
        rotations: The rotations to move.
        group: The processes that have the rows of a batch.
    """

    def __init__(self, rotations: Rotations, group: Group = Alone()) -> None:
        self.rotations, self.group, self.steps = rotations, group, 0
        self.optimizer = RAdam([rotations.angles], lr=rotations.rotation.leader_lr)

    def backward(self, features_BD: Tensor, cotangent_TBD: Tensor, weights_T: Tensor, rate_T: Tensor) -> None:
        """Fill the gradient of the rotations.

        Args:
            features_BD: The shared representation.
            cotangent_TBD: Each task's gradient there, unweighted: ``R_k' dL_k/dr_k``.
            weights_T: The method's weights of these gradients in the network's update.
            rate_T: The method's factors for training rates, :meth:`gradops.base.Method.training_rate`.
        """
        angles, size = self.rotations.angles, self.rotations.size
        target_BD, scale = self._target(cotangent_TBD, weights_T.to(cotangent_TBD.dtype), rate_T.to(angles.dtype))
        with torch.enable_grad():
            rotation_TSS = self.rotations.rotation_TSS()
        # In either loss only -scale sum_n <R_k' g_nk, v_n> depends on R_k. Its gradient is -scale sum_n g_nk v_n' with
        # g_nk = R_k c_nk: for each task one product over the batch and a small one. The task's own loss is alike, by z.
        turned_TSB = cotangent_TBD[:, :, :size].mT
        aligning_TSS = rotation_TSS.detach() @ self._added(turned_TSB @ target_BD[:, :size])
        slope_TA = _pulled(rotation_TSS, angles, -scale * aligning_TSS)
        if 0 < self.rotations.rotation.cooperative_after <= self.steps:
            descending_TSS = rotation_TSS.detach() @ self._added(turned_TSB @ features_BD[:, :size])
            slope_TA = _cooperative(slope_TA, _pulled(rotation_TSS, angles, descending_TSS))
        angles.grad = slope_TA

    def step(self, scale: float = 1.0) -> None:
        """Move the rotations along the gradient that :meth:`backward` left, and clear it.

        Args:
            scale: The network's present learning rate as a share of its first.
        """
        options = self.rotations.rotation
        for group in self.optimizer.param_groups:
            group["lr"] = options.leader_lr * options.leader_decay**self.steps * scale
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's moments and the number of steps; the angles belong to the model."""
        return {"optimizer": self.optimizer.state_dict(), "steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` gave."""
        self.optimizer.load_state_dict(state_dict["optimizer"])
        self.steps = state_dict["steps"]

    def _target(self, cotangent_TBD: Tensor, weights_T: Tensor, rate_T: Tensor) -> tuple[Tensor, float]:
        """``v`` for every row, and the factor of the loss's product with it."""
        length_T = length(torch.linalg.vector_norm(cotangent_TBD.flatten(1), dim=1), self.group)
        inverse_T = torch.where(length_T > 0, 1 / length_T, 0.0)  # a task without a gradient does not pull
        if self.rotations.rotation.loss == "iclr":
            return torch.tensordot(inverse_T / len(length_T), cotangent_TBD, dims=1), 1.0
        combined = length(torch.tensordot(weights_T, cotangent_TBD, dims=1).norm(), self.group)
        rows = total(cotangent_TBD.shape[1], self.group, cotangent_TBD.device)
        return torch.tensordot(combined * rate_T * inverse_T, cotangent_TBD, dims=1), 2 / rows

    def _added(self, values: Tensor) -> Tensor:
        """The sum over processes."""
        return self.group.sum([values])[0]


def _pulled(rotation_TSS: Tensor, angles: Tensor, slope_TSS: Tensor) -> Tensor:
    """A gradient with respect to the rotations as one with respect to their angles."""
    (slope_TA,) = grad(rotation_TSS, angles, slope_TSS, retain_graph=True)
    return slope_TA


def _cooperative(first_TA: Tensor, second_TA: Tensor) -> Tensor:
    """The sum of each task's two gradients, each scaled to the mean of their lengths (version 1, equation 10)."""
    both_2TA = torch.stack([first_TA, second_TA])
    length_2T1: Tensor = torch.linalg.vector_norm(both_2TA, dim=2, keepdim=True)
    units_2TA = torch.where(length_2T1 > 0, both_2TA / length_2T1, 0.0)
    return units_2TA.sum(0) * length_2T1.mean(0)
