"""The table: its kind, its columns, their likelihoods and constants, its distinct rows."""
