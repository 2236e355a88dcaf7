"""What the layers of a trained network give: statistics, feature maps, probes, and networks side by side."""
