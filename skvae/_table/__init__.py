"""The table: its container, its columns, their likelihoods and constants, its distinct rows."""
