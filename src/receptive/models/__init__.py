"""Convolutional networks as plain `torch.nn.Module`s: one family a file, its source in the header."""
