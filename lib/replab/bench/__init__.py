"""Speeds, as ratios to a named peer measured in the same process run; never asserted in a test."""
