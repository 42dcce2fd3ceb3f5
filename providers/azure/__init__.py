"""Azure, through azure-mgmt-compute."""
