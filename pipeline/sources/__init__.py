"""Raw data as tidy Parquet. The face is :data:`SOURCES`: one more source is its file in this folder and its name there.

A file declares its kind as ``SOURCE``: a :class:`~pipeline.sources.source.FetchedSource`, which `gradops fetch` gets,
or a :class:`~pipeline.sources.source.GeneratedSource`, which `gradops synth` makes up.
"""

SOURCES = (
    "census",
    "clicklog",
)
