"""The meaning of columns: the declared table, its contract and its fitted encoding. Pure Polars."""
