"""What is trained. TorchRec lives in :mod:`models.embedding` and nowhere else."""

import logging

# TorchRec's import trips a deprecation notice of torch.fx, which is theirs to settle and not a user's to read.
logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)
