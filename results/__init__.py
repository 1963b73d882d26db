"""Records: what a run leaves behind, and all that tables are made from."""
