"""The packages that train beside torch, which pip cannot choose by itself: torchrec, and fbgemm for the same torch.

torchrec asks for ``fbgemm-gpu`` without a version. That brings the newest CUDA build whatever torch is there, and
breaks a CPU build of fbgemm, which owns the same folder. So our requirements hold what torchrec needs otherwise, and
one command adds the two.
"""

from __future__ import annotations

TORCHREC = "1.8.0"  # fbgemm has the same number
MODULES = ("torchrec", "fbgemm_gpu")
COMMAND = f"pip install --no-deps torchrec=={TORCHREC} fbgemm-gpu-cpu=={TORCHREC}"
HOW_TO_ADD = f"run `{COMMAND}`; on a machine with a GPU, `fbgemm-gpu=={TORCHREC}` in place of `fbgemm-gpu-cpu`"


def missing(error: BaseException) -> str | None:
    """The words for a user whose command trains, or needs what trains, without these packages.

    Args:
        error: The error that ended a command.

    Returns:
        The package that is missing and the command that adds it; None for another error.
    """
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if package not in MODULES:
        return None
    return f"this command needs {package}, which is not installed, since pip cannot choose its build: {HOW_TO_ADD}"
