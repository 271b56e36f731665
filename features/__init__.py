"""What a column means: the declared table, its contract and its fitted encoding. Pure Polars."""
