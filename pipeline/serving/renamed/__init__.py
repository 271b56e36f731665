"""The old names of three modules, for models that were registered when ``pipeline`` was one folder.

Such a model brings its own code, and in a process of its own nothing here is read. In a process that has already
imported ``pipeline``, the model's code meets the present modules, and asks for them by the names that they had then:
:mod:`pipeline` searches this folder too, so that ``pipeline.scoring`` is found.
"""
