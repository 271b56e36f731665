"""What is trained. TorchRec lives in :mod:`models.embedding`, and for several ranks in :mod:`models.sharding`."""

import logging

# TorchRec's import trips a deprecation notice of torch.fx, its copied tables one of a cache that they lack: theirs to
# settle and not a user's to read.
for name in ("torch.fx._symbolic_trace", "torchrec.distributed.utils"):
    logging.getLogger(name).setLevel(logging.ERROR)
