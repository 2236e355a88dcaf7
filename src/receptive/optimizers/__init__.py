"""What torch.optim lacks: Muon for whole networks, and learning-rate schedules counted in epochs."""
