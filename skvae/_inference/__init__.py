"""Rows through a trained model: chunks, log-likelihoods, posterior draws."""
