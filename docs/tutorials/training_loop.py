# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---

# %% [markdown]
# # Your own training loop
#
# `MultiTaskOptimizer` wraps any torch optimizer and takes the tasks' losses in place of one sum: shared
# parameters get the method's combination of the task gradients, towers the plain gradient of their own loss. It
# is a `torch.optim.Optimizer` itself, so schedulers, clipping, checkpoints and a `GradScaler` work as ever. It
# needs no torchrec.

# %%
import io

import torch
from torch import nn

from gradops import MultiTaskOptimizer
from gradops.methods import GradOPS

torch.manual_seed(0)
device = "cuda" if torch.cuda.is_available() else "cpu"

# %% [markdown]
# ## Two tasks that disagree
#
# Both labels depend on the same inputs; the second has the opposite sign at half of them. What such a conflict does to
# a step, and what methods make of it, is drawn here on the two-task valley of the PCGrad paper:
#
# ![Paths of several methods through a valley of two tasks](../figures/pcgrad_valley.svg)

# %%
weight_D2 = torch.randn(16, 1).repeat(1, 2)
weight_D2[8:, 1] *= -1
x_BD = torch.randn(4096, 16)
label_B2 = torch.bernoulli(torch.sigmoid(x_BD @ weight_D2))
train, held_out = slice(0, 3072), slice(3072, None)


class TwoTowers(nn.Module):
    """A narrow shared layer and a tower for each task."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Linear(16, 8), nn.ReLU())
        self.towers = nn.ModuleList(nn.Linear(8, 1) for _ in range(2))

    def forward(self, x_BD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The shared vector of each row, and a logit for each row and task."""
        z_BH = self.shared(x_BD)
        return z_BH, torch.cat([tower(z_BH) for tower in self.towers], dim=1)


def losses(logit_B2: torch.Tensor, label_B2: torch.Tensor) -> torch.Tensor:
    """The mean cross-entropy of each task."""
    return nn.functional.binary_cross_entropy_with_logits(logit_B2.float(), label_B2, reduction="none").mean(0)


# %% [markdown]
# ## The loop, with a scheduler
#
# The scheduler gets the adapter, as it would get Adam. `step` returns a report: the weights that the method gave
# the tasks, the cosines between their gradients, the share of pairs in conflict.

# %%
model = TwoTowers().to(device)
adam = torch.optim.Adam(model.parameters(), lr=1e-2)
optimizer = MultiTaskOptimizer(adam, GradOPS(alpha=-1.0), shared=model.shared.parameters())
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=5 * 12)
conflicts = []
for _ in range(5):
    for rows in torch.randperm(3072).split(256):
        z_BH, logit_B2 = model(x_BD[rows].to(device))
        report = optimizer.step(losses(logit_B2, label_B2[rows].to(device)), features=z_BH)
        scheduler.step()
        conflicts.append(float(report.conflict_rate))
print(f"conflict in {sum(conflicts) / len(conflicts):.0%} of the steps")
print("weights of the last step:", report.weights_T.tolist())
print("learning rate at the end:", scheduler.get_last_lr())

# %%
with torch.no_grad():
    loss_2 = losses(model(x_BD[held_out].to(device))[1], label_B2[held_out].to(device))
print("held-out loss of each task:", loss_2.tolist())
assert bool((loss_2 < 0.69).all()), "better than the guess of one half"

# %% [markdown]
# ## Half precision, with a GradScaler
#
# float16 needs the scaler, which scales losses and leaves out steps that overflow: give it the losses in
# `backward`, and let it step the adapter. bfloat16 needs only the line of `autocast`.

# %%
model = TwoTowers().to(device)
adam = torch.optim.Adam(model.parameters(), lr=1e-2)
optimizer = MultiTaskOptimizer(adam, GradOPS(alpha=-1.0), shared=model.shared.parameters())
scaler = torch.amp.GradScaler(device)
for _ in range(5):
    for rows in torch.randperm(3072).split(256):
        with torch.autocast(device, dtype=torch.float16):
            z_BH, logit_B2 = model(x_BD[rows].to(device))
        optimizer.backward(scaler.scale(losses(logit_B2, label_B2[rows].to(device))), features=z_BH)
        scaler.step(optimizer)
        scaler.update()
with torch.no_grad():
    half_2 = losses(model(x_BD[held_out].to(device))[1], label_B2[held_out].to(device))
print("held-out loss of each task:", half_2.tolist())
assert bool((half_2 < 0.69).all()), "better than the guess of one half, too"

# %% [markdown]
# ## A checkpoint
#
# `state_dict` has the wrapped optimizer's state and the method's own.

# %%
file = io.BytesIO()  # or a path
torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
file.seek(0)
state = torch.load(file, weights_only=True)
resumed = TwoTowers().to(device)
resumed.load_state_dict(state["model"])
again = MultiTaskOptimizer(
    torch.optim.Adam(resumed.parameters(), lr=1e-2), GradOPS(alpha=-1.0), shared=resumed.shared.parameters()
)
again.load_state_dict(state["optimizer"])
for network, stepped in ((model, optimizer), (resumed, again)):
    z_BH, logit_B2 = network(x_BD[:256].to(device))
    stepped.step(losses(logit_B2, label_B2[:256].to(device)), features=z_BH)
assert all(torch.equal(one, other) for one, other in zip(model.parameters(), resumed.parameters(), strict=True))
print("a resumed run steps as the one that was not interrupted")

# %% [markdown]
# Next: [embedding tables, cheaper measurements, several ranks](../training-loop.md), [what a step
# costs](../cost.md), [every method](../methods.md).
