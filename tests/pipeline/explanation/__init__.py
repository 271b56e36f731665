"""Tests of what each column is worth to a served model."""
