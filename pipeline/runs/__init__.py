"""Finished runs on disk (:mod:`pipeline.runs.run`) and planned runs (:mod:`pipeline.runs.plan`)."""
