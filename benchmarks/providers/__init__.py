"""What bench_providers.py runs against."""
