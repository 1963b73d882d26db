"""W&B dashboards: a workspace that compares methods, and finished records as W&B runs."""

BANDS = {"minmax": "lowest to highest", "stddev": "± one standard deviation", "none": "none"}  # over the seeds
