"""Files of other formats become Parquet, in pieces and with every column's type said. The face is `importing`."""
