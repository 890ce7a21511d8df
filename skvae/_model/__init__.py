"""The VAE as a module."""
