"""What happens around the steps of a run: records, progress, interruption, checkpoints."""
