"""The page index.html: the answer, the table and the charts in one file that needs no network."""
