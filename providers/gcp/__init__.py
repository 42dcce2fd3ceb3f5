"""GCP, through google-cloud-compute."""
