"""What an embedding is worth: k-NN accuracy, recall at 1, effective dimension, retrieval."""
