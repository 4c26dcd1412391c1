"""Evaluates embeddings: k-NN accuracy, recall at 1, effective dimension, retrieval."""
