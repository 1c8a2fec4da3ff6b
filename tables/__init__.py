"""What a worker remembers: SQL tables and Faust tables."""
