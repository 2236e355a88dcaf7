"""What is learnt and how it is judged: one LightningModule a task."""
