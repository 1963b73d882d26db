"""Tables and figures as functions of records; reads records and published figures, trains nothing."""
