"""Finished runs on disk (:mod:`pipeline.runs.run`) and runs that are planned (:mod:`pipeline.runs.plan`)."""
