"""Client libraries in processes of their own."""
