"""Apply a trained model to rows: chunks, log-likelihoods, posterior draws."""
