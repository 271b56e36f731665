"""The networks that are trained; TorchRec and fbgemm are used here and nowhere else."""

import logging

# Importing TorchRec raises a deprecation warning of torch.fx, and its copied tables one about a cache that they lack.
# Both concern TorchRec's authors; users need not read them.
for name in ("torch.fx._symbolic_trace", "torchrec.distributed.utils"):
    logging.getLogger(name).setLevel(logging.ERROR)
