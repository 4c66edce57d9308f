"""How runs are made and kept: worker processes, parts that resume, stored tables."""
