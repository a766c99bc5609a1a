"""Disparity statistics on frames and arrays: rates, gaps, changes and their sampling covariance."""
