"""A cell: one region's Ray cluster, over its REST and gRPC interfaces. Ray is never imported."""
