"""Trained weights become what a phone runs: signatures, conversion, proof of parity."""
