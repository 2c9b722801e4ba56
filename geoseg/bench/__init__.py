"""What geoseg costs: ratios measured in one run, with their context. Not part of a job."""
