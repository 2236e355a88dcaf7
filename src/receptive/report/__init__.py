"""What the runs of a folder say: statistics over seeds, verdicts on claims, tables, figures, one HTML page."""
