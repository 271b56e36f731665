"""A model as files that onnxruntime scores, with the encoder of its requests. The face is ``exported.py``."""
