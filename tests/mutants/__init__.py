"""What the tests would notice: small changes of the code, one at a time; see README.md."""
