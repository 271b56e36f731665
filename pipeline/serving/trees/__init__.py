"""Boosted trees as plain arrays: their columns (:mod:`.columns`) and their logits (:mod:`.forest`)."""
