"""Runs shown elsewhere: Weights & Biases, TensorBoard. What they are shown is read from the runs' folders."""
