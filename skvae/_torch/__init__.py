"""Use torch without changing the caller's settings (threads, modes, generators), and fast."""
