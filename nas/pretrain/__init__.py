"""Pretraining without labels: a network learns to fill in what is masked of its images (SparK, Tian et al. 2023)."""
