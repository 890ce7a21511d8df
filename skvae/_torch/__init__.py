"""The caller's torch left alone (threads, modes, generators, precision), and torch made fast."""
