"""Training: rows, steps, stages, schedules and start values."""
