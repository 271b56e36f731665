"""What is trained. TorchRec lives in :mod:`models.embedding` and nowhere else."""
