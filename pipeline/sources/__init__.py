"""Raw data as tidy Parquet. The face is :data:`SOURCES`; a new source is a file in this folder and its name there.

A file declares its kind as ``SOURCE``: a :class:`~pipeline.sources.source.FetchedSource`, which `gradops fetch` gets,
or a :class:`~pipeline.sources.source.GeneratedSource`, which `gradops synth` generates.
"""

SOURCES = (
    "census",
    "clicklog",
    "movielens",
)
