"""The diagnosis of an installation. The face is :mod:`pipeline.doctor.doctor`."""
