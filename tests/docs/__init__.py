"""Tests of the documents and of the site that is made from them."""
