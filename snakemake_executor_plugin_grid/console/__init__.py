"""What a user reads: lines about jobs, failures, and transfers."""
