"""Training: the loop, learning-rate schedules, augmentation in batches, checkpoints."""
