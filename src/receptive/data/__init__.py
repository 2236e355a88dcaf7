"""Data sets, their loaders and augmentations: one file a data set, one LightningDataModule for all."""
