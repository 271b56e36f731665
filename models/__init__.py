"""The networks that are trained; TorchRec and fbgemm are used here and nowhere else."""

import logging

# TorchRec's import trips a deprecation notice of torch.fx, its copied tables one of a cache that they lack: theirs to
# settle and not a user's to read.
for name in ("torch.fx._symbolic_trace", "torchrec.distributed.utils"):
    logging.getLogger(name).setLevel(logging.ERROR)
