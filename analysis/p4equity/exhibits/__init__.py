"""The figures and tables of the report, one a file."""
