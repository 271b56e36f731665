"""Two hosts for real: the launch lines of docs/scale.md on two networks of this machine, cut and mended."""
