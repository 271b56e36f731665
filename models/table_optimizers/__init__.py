"""The optimizers that step embedding tables, one a file; :mod:`models.table_optimizers.names` lists them."""
