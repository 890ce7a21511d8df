"""Training: rows, steps, stages and schedules."""
