"""A logical CUDA device over CPU tensors: :func:`tests.logical_device.device.logical_cuda`."""
