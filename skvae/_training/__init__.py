"""Training: rows, steps, stages, schedules and where they start."""
